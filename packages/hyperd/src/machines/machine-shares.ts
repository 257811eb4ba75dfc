import { join } from 'node:path';
import { HyperError } from '../errors.ts';
import type { GuestAgent } from '../guest/index.ts';
import type { Vm } from './driver.ts';
import { type FileServers, fileServerAt, said } from './file-server.ts';
import { gone, type HostProcess, isAlive, kill } from './host-process.ts';
import type { SharedPath } from './machine.ts';
import type { MachineCgroup } from './machine-cgroup.ts';
import type { MachineShare } from './machine-records.ts';

const MAX_PATHS = 128;
const LOOK_MS = 500;
const DEATH_TIMEOUT_MS = 5_000;

export interface MachineSharesParts {
  readonly directory: string;
  readonly cgroup: MachineCgroup;
  readonly vm: Vm;
  readonly agent: GuestAgent;
  readonly fileServers: FileServers;
  readonly sharesMemory: boolean;
  readonly recorded: readonly MachineShare[];
  readonly save: (shares: readonly MachineShare[]) => void;
  /** A file server has ended while the machine runs: what the guest has mounted would hang for ever. */
  readonly onDeath: (reason: string) => void;
}

/** The file servers of one machine. They are processes of their own: recorded before they are used, ended with the machine. */
export class MachineShares {
  readonly #parts: MachineSharesParts;
  #shares: readonly MachineShare[];
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: MachineSharesParts) {
    this.#parts = parts;
    this.#shares = parts.recorded;
    if (this.#shares.some(({ mounted }) => mounted)) this.#watch();
  }

  get list(): readonly { readonly name: string; readonly paths: readonly SharedPath[] }[] {
    return this.#shares.filter(({ mounted }) => mounted);
  }

  async attach(paths: readonly SharedPath[]): Promise<string> {
    const { vm, agent, directory, cgroup, fileServers, sharesMemory } = this.#parts;
    if (!sharesMemory) {
      throw new HyperError(
        'precondition',
        'share directories with the machine: its memory is its own; a pod that has such volumes when it starts, in a machine of its own, gets one that can',
      );
    }
    const port = this.#shares.length; // a port is used once, whatever becomes of it
    if (port >= vm.sharePorts)
      throw new HyperError('limit', `share directories with the machine: it has ${port} shares already`);
    if (paths.length > MAX_PATHS)
      throw new HyperError('limit', `share ${paths.length} paths with a machine: at most ${MAX_PATHS}`);
    const name = `share${port}`;
    this.#save([...this.#shares, { name, paths, process: undefined, mounted: false }]);
    try {
      const onSpawn = (process: HostProcess): void => this.#change(name, { process });
      const { socketPath, files } = await fileServers.start({ directory, name, paths, onSpawn });
      await vm.plugShare(port, { tag: name, socketPath });
      await this.#bound(name, cgroup); // it has its last process once it has answered the machine
      await agent.mountShare(name, files);
      this.#change(name, { mounted: true });
      this.#watch();
      return name;
    } catch (error) {
      await this.#end(this.#shares.filter((share) => share.name === name));
      throw error;
    }
  }

  /** Lets go of them; the daemon is ending. */
  detach(): void {
    clearInterval(this.#timer);
  }

  /** Ends them all; the machine is gone. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#end(this.#shares);
  }

  async #end(shares: readonly MachineShare[]): Promise<void> {
    await endFileServers(this.#parts.directory, shares);
  }

  /** They may be children of an earlier daemon: nobody tells of their end. */
  #watch(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      const dead = this.#shares.find(({ mounted, process }) => mounted && process && !isAlive(process));
      if (!dead) return;
      clearInterval(this.#timer);
      void this.#tellDeath(dead);
    }, LOOK_MS).unref();
  }

  async #tellDeath({ name }: MachineShare): Promise<void> {
    const text = await said(join(this.#parts.directory, name));
    this.#parts.onDeath(`the file server of its volumes (virtiofsd) has ended: ${text}`);
  }

  async #bound(name: string, cgroup: MachineCgroup): Promise<void> {
    const { process } = this.#shares.find((share) => share.name === name) ?? {};
    if (process) await cgroup.enter(process.pid);
  }

  #change(name: string, change: Partial<MachineShare>): void {
    this.#save(this.#shares.map((share) => (share.name === name ? { ...share, ...change } : share)));
  }

  #save(shares: readonly MachineShare[]): void {
    this.#shares = shares;
    this.#parts.save(shares);
  }
}

/** Ends file servers of a machine's directory, whether their process is recorded or only in its file. */
export async function endFileServers(directory: string, shares: readonly MachineShare[]): Promise<void> {
  for (const { name, process } of shares) {
    const server = process ?? (await fileServerAt(join(directory, name), directory));
    if (!server) continue;
    kill(server);
    await gone(server, DEATH_TIMEOUT_MS);
  }
}
