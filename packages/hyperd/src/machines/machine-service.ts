import { mkdir, open, readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import type { ConnectAgent, GuestAgent } from '../guest/index.ts';
import { type MachineId, newMachineId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import { userModeNetwork } from '../networks/user-mode.ts';
import type { State } from '../state/database.ts';
import type { Ailment } from '../upkeep/index.ts';
import type { Vm, VmDriver, VmHardware } from './driver.ts';
import { examineMachines } from './examine-machines.ts';
import type { FileServers } from './file-server.ts';
import { gone, kill, processOfPidFile, startTicksOf } from './host-process.ts';
import type { AcquireRequest, Machine, MachineService, MachineShape } from './machine.ts';
import { createMachineRecords, type MachineRecord } from './machine-records.ts';
import { endFileServers } from './machine-shares.ts';
import { RunningMachine } from './running-machine.ts';
import { Semaphore } from './semaphore.ts';
import { checkShape, hostSize } from './shape-limits.ts';
import { createTemplates } from './templates.ts';

/** What the guest's kernel and agent need besides the containers, in MiB. */
export const GUEST_OVERHEAD_MIB = 96;
const CLONE_HANDSHAKE_MS = 30_000;
const DEFAULT_BOOT_TIMEOUT_MS = 120_000;
/** More starts than this at once only take each other's time. */
const MAX_CONCURRENT_STARTS = 4;
const CONSOLE_CHECK_MS = 30_000;
const MAX_CONSOLE_BYTES = 1024 * 1024;
/** sun_path holds 108 bytes; a machine's socket adds `/machines/vm-XXXXXXXXXX/agent.sock`. */
const MAX_ROOT_BYTES = 60;

export interface MachineServiceOptions {
  readonly root: string;
  readonly state: State;
  readonly driver: VmDriver;
  readonly connectAgent: ConnectAgent;
  readonly fileServers: FileServers;
  readonly logger: Logger;
  readonly events: Events;
  /** Disk of kernel modules that few machines need. */
  readonly modulesDisk?: string | undefined;
  /** How long a machine may take from power-on to its agent's answer, in ms (default 120,000: emulated machines are slow). */
  readonly bootTimeoutMs?: number;
}

/** Throws `invalid-argument` when `root` is too long for the machines' sockets. */
export async function createMachineService(options: MachineServiceOptions): Promise<MachineService> {
  const { root } = options;
  if (Buffer.byteLength(root) > MAX_ROOT_BYTES) {
    throw new HyperError(
      'invalid-argument',
      `use root directory ${root}: its path has ${Buffer.byteLength(root)} bytes, at most ${MAX_ROOT_BYTES} leave room for socket names`,
    );
  }
  const service = new Machines(options);
  await service.open();
  return service;
}

class Machines implements MachineService {
  readonly #options: MachineServiceOptions;
  readonly #directory: string;
  readonly #records: ReturnType<typeof createMachineRecords>;
  readonly #templates: ReturnType<typeof createTemplates>;
  readonly #running = new Map<MachineId, RunningMachine>();
  readonly #starts = new Semaphore(MAX_CONCURRENT_STARTS);
  readonly #bootTimeoutMs: number;
  #consoleTimer: NodeJS.Timeout | undefined;

  constructor(options: MachineServiceOptions) {
    const { root, state, driver, connectAgent, logger } = options;
    this.#options = options;
    this.#directory = join(root, 'machines');
    this.#records = createMachineRecords(state);
    this.#bootTimeoutMs = options.bootTimeoutMs ?? DEFAULT_BOOT_TIMEOUT_MS;
    const bootTimeoutMs = this.#bootTimeoutMs;
    this.#templates = createTemplates({
      directory: join(root, 'templates'),
      driver,
      connectAgent,
      logger,
      bootTimeoutMs,
    });
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await this.#templates.tidy();
    this.#consoleTimer = setInterval(() => void this.#boundConsoles(), CONSOLE_CHECK_MS).unref();
  }

  info(): ReturnType<VmDriver['info']> {
    return this.#options.driver.info();
  }

  checkShape(shape: MachineShape, place: { readonly vcpus: string; readonly memory: string }): void {
    checkShape(shape, hostSize(), place);
  }

  async prepare(shape: MachineShape): Promise<void> {
    await this.#templates.get(hardwareOf(shape));
  }

  list(): { id: MachineId; owner: MachineRecord['owner'] }[] {
    return this.#records.all().map(({ id, owner }) => ({ id, owner }));
  }

  examine(): Promise<Ailment[]> {
    const records = this.#records.all();
    return examineMachines({
      root: this.#options.root,
      isKnown: (id) => this.#records.all().some((record) => record.id === id),
      lost: () =>
        records
          .filter(({ id, phase }) => phase === 'running' && !this.#running.has(id))
          .map(({ id }) => ({ id, clear: () => this.#clear(id) })),
    });
  }

  async acquire(request: AcquireRequest): Promise<Machine> {
    const { signal, shape, owner } = request;
    const id = newMachineId();
    request.onId?.(id);
    const template = await this.#templates.get(hardwareOf(shape));
    using _slot = await this.#starts.enter(signal);
    const record: MachineRecord = {
      ...{ id, owner, phase: 'starting', process: undefined, shape, disks: [], shares: [] },
      sharesMemory: request.sharesMemory ?? false,
    };
    this.#records.insert(record);
    try {
      return await this.#start(id, request, template);
    } catch (error) {
      if (signal?.aborted) throw error;
      this.#options.logger.warn({ machine: id, err: error }, 'clone machine; booting it instead');
      await this.#templates.discard(hardwareOf(shape));
      this.#records.insert(record);
      return await this.#start(id, request, undefined);
    }
  }

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

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#consoleTimer);
    await Promise.all([...this.#running.values()].map((machine) => machine.detach()));
  }

  async #start(id: MachineId, request: AcquireRequest, template: string | undefined): Promise<Machine> {
    const { driver } = this.#options;
    const directory = join(this.#directory, id);
    let vm: Vm | undefined;
    try {
      request.signal?.throwIfAborted();
      await mkdir(directory, { mode: 0o700 });
      const vmRequest = {
        directory,
        hardware: hardwareOf(request.shape),
        sharedMemory: request.sharesMemory ? { elsewhereMib: this.#sharedMib(id) } : undefined,
        tap: request.network?.tap,
        onSpawn: (process: MachineRecord['process'] & object) => this.#records.setProcess(id, process),
        ...(request.signal && { signal: request.signal }),
      };
      vm = await (template === undefined ? driver.boot(vmRequest) : driver.restore(vmRequest, template));
      const handshakeTimeoutMs = template === undefined ? this.#bootTimeoutMs : CLONE_HANDSHAKE_MS;
      const agent = await this.#configuredAgent(vm, request, handshakeTimeoutMs);
      this.#records.setRunning(id);
      const machine = this.#take(id, { ...request, disks: [], shares: [] }, vm, agent);
      this.#options.events.machine(id, 'start', { pod: request.owner });
      return machine;
    } catch (error) {
      const tail = await vm?.consoleTail();
      await vm?.kill();
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
        vm = await this.#options.driver.adopt(process, directory);
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
    record: Pick<MachineRecord, 'shape' | 'owner' | 'disks' | 'shares'> & { readonly sharesMemory?: boolean },
    vm: Vm,
    agent: GuestAgent,
  ): RunningMachine {
    const { shape, owner, disks, shares, sharesMemory = false } = record;
    const machine = new RunningMachine({
      ...{ id, shape, owner, vm, agent, disks, directory: join(this.#directory, id), records: this.#records },
      modulesDisk: this.#options.modulesDisk,
      ...{ sharesMemory, recordedShares: shares, fileServers: this.#options.fileServers },
      onGone: (gone) => this.#running.delete(gone),
    });
    this.#running.set(id, machine);
    void machine.exited.then((exit) => {
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
    const shares = this.#records.all().find((record) => record.id === id)?.shares ?? [];
    await endFileServers(join(this.#directory, id), shares);
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
        const { size } = await stat(path);
        if (size > MAX_CONSOLE_BYTES) await keepEnd(path, size);
      } catch (error) {
        this.#options.logger.debug({ machine: id, err: error }, 'bound console file');
      }
    }
  }
}

/** Empties the file (QEMU appends to it) and puts its last part back. */
async function keepEnd(path: string, size: number): Promise<void> {
  const end = Buffer.alloc(16_384);
  await using file = await open(path, 'r+');
  await file.read(end, 0, end.length, size - end.length);
  await truncate(path, 0);
  await file.write(end, 0, end.length, 0);
}

function hardwareOf({ vcpus, memoryMib }: MachineShape): VmHardware {
  return { vcpus, ramMib: memoryMib + GUEST_OVERHEAD_MIB };
}
