import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import type { ConnectAgent, GuestAgent } from '../guest/index.ts';
import type { MachineId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import { userModeNetwork } from '../networks/user-mode.ts';
import type { Cgroups } from './cgroups.ts';
import { boundConsole } from './console-file.ts';
import type { Vm, VmDriver, VmHardware } from './driver.ts';
import type { FileServers } from './file-server.ts';
import { mayRaisePriority } from './host-load.ts';
import { gone, kill, processOfPidFile, setNiceness, startTicksOf } from './host-process.ts';
import { LIVENESS, type LivenessTiming } from './liveness.ts';
import type { AcquireRequest, Machine, MachineShape, MachineSource } from './machine.ts';
import { MachineCgroup, removeCgroup } from './machine-cgroup.ts';
import type { MachineRecord, MachineRecords } from './machine-records.ts';
import { endFileServers } from './machine-shares.ts';
import type { MachineUser, MachineUsers } from './machine-users.ts';
import { RunningMachine } from './running-machine.ts';

/** What the guest's kernel and agent need besides the containers, in MiB. */
const GUEST_OVERHEAD_MIB = 96;
const CLONE_HANDSHAKE_MS = 30_000;
const CONSOLE_CHECK_MS = 30_000;
/** Machines that are made for the pool leave the processors to others. */
const POOL_NICENESS = 5;

export interface LiveMachinesOptions {
  /** Holds a directory for every machine. */
  readonly directory: string;
  readonly records: MachineRecords;
  readonly driver: VmDriver;
  readonly connectAgent: ConnectAgent;
  readonly fileServers: FileServers;
  readonly logger: Logger;
  readonly events: Events;
  readonly modulesDisk?: string | undefined;
  readonly users?: MachineUsers | undefined;
  readonly cgroups?: Cgroups | undefined;
  readonly bootTimeoutMs: number;
  /** How machines are watched (default: `LIVENESS`). */
  readonly liveness?: LivenessTiming | undefined;
}

/** The machines that there are: started, or taken up from an earlier daemon. Disposing lets go of them; they run on. */
export class LiveMachines implements AsyncDisposable {
  readonly #options: LiveMachinesOptions;
  readonly #directory: string;
  readonly #records: MachineRecords;
  readonly #running = new Map<MachineId, RunningMachine>();
  #consoleTimer: NodeJS.Timeout | undefined;
  /** A machine that was started with low priority can be given an ordinary one. */
  readonly mayRaisePriority = mayRaisePriority();

  constructor(options: LiveMachinesOptions) {
    this.#options = options;
    this.#directory = options.directory;
    this.#records = options.records;
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    this.#consoleTimer = setInterval(() => void this.#boundConsoles(), CONSOLE_CHECK_MS).unref();
  }

  directoryOf(id: MachineId): string {
    return join(this.#directory, id);
  }

  /** See `MachineService.adoptAll`. */
  async adoptAll(): Promise<Machine[]> {
    const adopted: Machine[] = [];
    const work = this.#records.all().map(async (record) => {
      const machine = await this.#adopt(record);
      if (machine) adopted.push(machine);
    });
    await Promise.all(work);
    await this.#removeStrays();
    return adopted;
  }

  /** Rows of machines that should run, and that there are not. */
  lost(): { readonly id: MachineId; readonly clear: () => Promise<void> }[] {
    return this.#records
      .all()
      .filter(({ id, phase }) => phase === 'running' && !this.#running.has(id))
      .map(({ id }) => ({ id, clear: () => this.#clear(id) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#consoleTimer);
    await Promise.all([...this.#running.values()].map((machine) => machine.detach()));
  }

  /**
   * Starts a machine whose row is written: a clone of `template`, or, without, a boot. Rejects `machine` or `canceled`, and nothing of it is left then.
   */
  async start(
    { id, uid, cgroups }: Pick<MachineRecord, 'id' | 'uid' | 'cgroups'>,
    request: AcquireRequest,
    { source, template }: { readonly source: MachineSource; readonly template?: string | undefined },
  ): Promise<RunningMachine> {
    const { driver } = this.#options;
    const directory = join(this.#directory, id);
    let vm: Vm | undefined;
    const hardware = hardwareOf(request.shape);
    let bounded: Promise<void> | undefined;
    let agent: GuestAgent | undefined;
    try {
      request.signal?.throwIfAborted();
      await mkdir(directory, { mode: 0o700 });
      const vmRequest = {
        directory,
        hardware,
        user: this.#userOf(uid),
        sharedMemory: request.sharesMemory ? { elsewhereMib: this.#sharedMib(id) } : undefined,
        tap: request.network?.tap,
        diskImages: request.diskImages,
        onSpawn: (process: MachineRecord['process'] & object) => {
          if (source === 'pool' && this.mayRaisePriority) setNiceness(process, POOL_NICENESS);
          this.#records.setProcess(id, process);
        },
        ...(request.signal && { signal: request.signal }),
      };
      vm = await (template === undefined ? driver.boot(vmRequest) : driver.restore(vmRequest, template));
      bounded = this.#bound(id, hardware, vm.process);
      bounded.catch(() => undefined); // told below, unless the machine has ended, which is the reason then
      const handshakeTimeoutMs = template === undefined ? this.#options.bootTimeoutMs : CLONE_HANDSHAKE_MS;
      agent = await this.#configuredAgent(vm, request, handshakeTimeoutMs);
      await bounded;
      if (source !== 'pool') this.#records.setRunning(id);
      return this.#take(id, { ...request, source, cgroups, disks: [], shares: [] }, vm, agent);
    } catch (error) {
      const tail = await vm?.consoleTail();
      await vm?.kill();
      await agent?.[Symbol.asyncDispose]();
      await bounded?.catch(() => undefined); // nothing is made of it any more once it is cleared
      await this.#clear(id);
      if (request.signal?.aborted)
        throw new HyperError('canceled', 'start machine: canceled', { cause: error });
      throw new HyperError(
        'machine',
        `start machine: ${messageOf(error)}${tail ? `; its console ended with:\n${tail}` : ''}`,
        { cause: error },
      );
    }
  }

  /** Also where daemons have had other settings: a machine stays whose it was. */
  #userOf(uid: number | undefined): MachineUser | undefined {
    return uid === undefined ? undefined : (this.#options.users?.of(uid) ?? { uid, groups: [] });
  }

  /**
   * Puts a machine's process into its cgroup. The kernel takes milliseconds for that, in which nobody on the host can begin a thread: so when QEMU has begun its
   * own, and while the guest wakes up.
   */
  async #bound(id: MachineId, hardware: VmHardware, { pid }: Vm['process']): Promise<void> {
    const { cgroups } = this.#options;
    if (!cgroups) return;
    await cgroups.make(id, hardware);
    await new MachineCgroup(cgroups.directoriesOf(id)).enter(pid);
  }

  async #configuredAgent(vm: Vm, request: AcquireRequest, handshakeTimeoutMs: number): Promise<GuestAgent> {
    const port = await vm.connectAgentPort();
    const { signal } = request;
    const agent = await this.#options.connectAgent(port, { handshakeTimeoutMs, ...(signal && { signal }) });
    try {
      await agent.configure({ ...request.identity, network: request.network?.guest ?? userModeNetwork() });
      return agent;
    } catch (error) {
      await agent[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #adopt(record: MachineRecord): Promise<Machine | undefined> {
    const { id } = record;
    const directory = join(this.#directory, id);
    const process = record.process ?? (await this.#processIn(directory));
    if (record.phase === 'running' && process && startTicksOf(process.pid) === process.startTicks) {
      let vm: Vm | undefined;
      try {
        vm = await this.#options.driver.adopt(process, directory, this.#userOf(record.uid));
        await vm.resume(); // one that was paused could not answer; its pod pauses it again
        const port = await vm.connectAgentPort();
        const agent = await this.#options.connectAgent(port, {
          handshakeTimeoutMs: CLONE_HANDSHAKE_MS,
          resync: true,
        });
        return this.#take(id, record, vm, agent);
      } catch (error) {
        this.#options.logger.error({ machine: id, err: error }, 'take up machine');
        await vm?.kill();
      }
    }
    if (process) {
      kill(process);
      await gone(process, CLONE_HANDSHAKE_MS);
    }
    await this.#clear(id);
    return undefined;
  }

  #take(
    id: MachineId,
    record: Pick<MachineRecord, 'shape' | 'owner' | 'disks' | 'shares' | 'cgroups'> & {
      readonly sharesMemory?: boolean;
      readonly source?: MachineSource;
    },
    vm: Vm,
    agent: GuestAgent,
  ): RunningMachine {
    const { shape, owner, source, disks, shares, sharesMemory = false } = record;
    const machine = new RunningMachine({
      ...{
        id,
        shape,
        owner,
        source,
        vm,
        agent,
        disks,
        directory: join(this.#directory, id),
        cgroup: new MachineCgroup(record.cgroups),
        records: this.#records,
      },
      modulesDisk: this.#options.modulesDisk,
      ...{ sharesMemory, recordedShares: shares, fileServers: this.#options.fileServers },
      onGone: (gone) => this.#running.delete(gone),
      liveness: this.#options.liveness ?? LIVENESS,
    });
    this.#running.set(id, machine);
    void machine.exited.then((exit) => {
      if (machine.isPooled) return; // nobody knew of it
      const reason = exit.kind === 'died' ? exit.message : exit.kind;
      this.#options.events.machine(id, 'die', { pod: machine.owner, reason });
    });
    return machine;
  }

  /** What the other machines with shared memory may come to need of the host's. */
  #sharedMib(except: MachineId): number {
    const others = this.#records.all().filter(({ id, sharesMemory }) => sharesMemory && id !== except);
    return others.reduce((sum, { shape }) => sum + hardwareOf(shape).ramMib, 0);
  }

  async #clear(id: MachineId): Promise<void> {
    const { shares = [], cgroups = [] } = this.#records.all().find((record) => record.id === id) ?? {};
    await endFileServers(join(this.#directory, id), shares);
    await removeCgroup(cgroups);
    await rm(join(this.#directory, id), { recursive: true, force: true });
    this.#records.remove(id);
  }

  /** Directories that no row stands for; a QEMU that still runs in one is ended. */
  async #removeStrays(): Promise<void> {
    const known = new Set<string>(this.#records.all().map(({ id }) => id));
    for (const name of await readdir(this.#directory)) {
      if (known.has(name)) continue;
      const directory = join(this.#directory, name);
      const process = await this.#processIn(directory);
      if (process) {
        kill(process);
        await gone(process, CLONE_HANDSHAKE_MS);
      }
      await rm(directory, { recursive: true, force: true });
    }
    await removeCgroup(this.#options.cgroups?.strays((id) => known.has(id)) ?? []);
  }

  /** The machine that wrote its pid in `directory`, if it is still that one. */
  #processIn(directory: string): Promise<MachineRecord['process']> {
    return processOfPidFile(join(directory, 'qemu.pid'), directory);
  }

  /** A guest can print for ever: keeps each console file small, and its end readable. */
  async #boundConsoles(): Promise<void> {
    for (const id of this.#running.keys()) {
      const path = join(this.#directory, id, 'console.log');
      try {
        await boundConsole(path);
      } catch (error) {
        this.#options.logger.debug({ machine: id, err: error }, 'bound console file');
      }
    }
  }
}

export function hardwareOf({ vcpus, memoryMib }: MachineShape): VmHardware {
  return { vcpus, ramMib: memoryMib + GUEST_OVERHEAD_MIB };
}
