import { HyperError } from '../errors.ts';
import type {
  ContainerStart,
  ExitStatus,
  GuestAgent,
  GuestProcess,
  GuestProcessState,
  OutputSink,
  ProcessSpec,
} from '../guest/index.ts';
import { type MachineId, newMachineId, type PodId } from '../ids.ts';
import type { AcquireRequest, Machine, MachineExit, MachineService } from '../machines/machine.ts';

/** A process of this name does not end on SIGTERM. */
export const STUBBORN = 'stubborn';

interface ScriptedProcess {
  readonly id: number;
  readonly containerId: string;
  readonly isInit: boolean;
  readonly isStubborn: boolean;
  exit: ExitStatus | undefined;
  /** Of the daemon that is connected. */
  tell: (exit: ExitStatus) => void;
}

/** What is there of a machine whether or not a daemon has it. */
interface ScriptedVm {
  readonly id: MachineId;
  readonly request: AcquireRequest;
  owner: PodId | undefined;
  isPaused: boolean;
  readonly disks: Set<string>;
  readonly processes: Map<number, ScriptedProcess>;
  readonly containers: Set<string>;
  isGone: boolean;
  machine: ScriptedMachine;
}

/**
 * For the tests of pods' lives: machines without a hypervisor, which obey the contract of `Machine` and `GuestAgent` (ids are taken once, disks have
 * to be plugged, a paused guest does not answer). They outlive the service that the test disposes of, as machines do.
 */
export class ScriptedMachines implements MachineService {
  readonly #vms = new Map<MachineId, ScriptedVm>();

  /** Ids of the machines that live. */
  get living(): MachineId[] {
    return [...this.#vms.keys()];
  }

  async examine(): Promise<[]> {
    return [];
  }

  async acquire(request: AcquireRequest): Promise<Machine> {
    const id = newMachineId();
    request.onId?.(id);
    await turns(3);
    if (request.signal?.aborted) throw new HyperError('canceled', 'start machine: canceled');
    const vm = {
      ...{ id, request, owner: request.owner, isPaused: false, isGone: false },
      ...{ disks: new Set<string>(), processes: new Map(), containers: new Set<string>() },
    } as unknown as ScriptedVm;
    vm.machine = new ScriptedMachine(vm, () => this.#vms.delete(id));
    this.#vms.set(id, vm);
    return vm.machine;
  }

  async adoptAll(): Promise<Machine[]> {
    const adopted: Machine[] = [];
    for (const vm of this.#vms.values()) {
      vm.isPaused = false;
      vm.machine = new ScriptedMachine(vm, () => this.#vms.delete(vm.id));
      adopted.push(vm.machine);
    }
    return adopted;
  }

  /** A machine dies by itself. */
  async crash(id: MachineId): Promise<void> {
    this.#vms.get(id)?.machine.gone({ kind: 'died', message: 'crashed', consoleTail: '' });
  }

  /** All of them end; the test is over. */
  end(): void {
    for (const { machine } of this.#vms.values()) machine.gone({ kind: 'stopped' });
  }

  /** The init of a container ends by itself. False: there is none, or its machine is paused. */
  endInit(containerId: string, exitCode: number): boolean {
    for (const { isPaused, processes } of this.#vms.values()) {
      for (const process of processes.values()) {
        if (process.containerId !== containerId || !process.isInit || process.exit || isPaused) continue;
        endProcess(process, exitCode, 0);
        return true;
      }
    }
    return false;
  }

  /** Containers whose init runs, in any machine. */
  runningInits(): string[] {
    return [...this.#vms.values()].flatMap(({ processes }) =>
      [...processes.values()]
        .filter(({ isInit, exit }) => isInit && !exit)
        .map(({ containerId }) => containerId),
    );
  }

  list(): { id: MachineId; owner: PodId | undefined }[] {
    return [...this.#vms.values()].map(({ id, owner }) => ({ id, owner }));
  }

  checkShape(): void {
    // all of them are possible
  }

  info(): never {
    throw new HyperError('unsupported', 'describe scripted machines');
  }

  usage(): never {
    throw new HyperError('unsupported', 'count scripted machines');
  }

  hasOutfitted(): boolean {
    return false;
  }

  async drain(): Promise<void> {
    // there is no pool
  }

  async prepare(): Promise<void> {
    // nothing to prepare
  }

  /** The daemon lets go of them: it hears of nothing that happens from now on. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { machine, processes } of this.#vms.values()) {
      machine.detach();
      for (const process of processes.values()) process.tell = () => undefined;
    }
  }
}

class ScriptedMachine implements Machine {
  readonly id: MachineId;
  readonly exited: Promise<MachineExit>;
  readonly #vm: ScriptedVm;
  readonly #exit = Promise.withResolvers<MachineExit>();
  readonly #closed = Promise.withResolvers<Error>();
  readonly #onGone: () => void;
  #isDetached = false;

  constructor(vm: ScriptedVm, onGone: () => void) {
    this.id = vm.id;
    this.#vm = vm;
    this.#onGone = onGone;
    this.exited = this.#exit.promise;
  }

  get shape() {
    return this.#vm.request.shape;
  }

  get owner(): PodId | undefined {
    return this.#vm.owner;
  }

  readonly source = undefined;
  readonly outfit = undefined;

  get agent(): GuestAgent {
    return this.#agent;
  }

  setOwner(owner: PodId | undefined): void {
    this.#vm.owner = owner;
  }

  async attachDisk(_disk: unknown, { name }: { readonly name: string }): Promise<void> {
    await this.#answer();
    if (this.#vm.disks.has(name)) throw new HyperError('conflict', `attach disk "${name}": it is there`);
    this.#vm.disks.add(name);
  }

  async detachDisk(name: string): Promise<void> {
    await this.#answer();
    if (!this.#vm.disks.delete(name)) throw new HyperError('not-found', `detach disk "${name}"`);
  }

  diskNames(): readonly string[] {
    return [...this.#vm.disks];
  }

  hasDisk(name: string): boolean {
    return this.#vm.disks.has(name);
  }

  readonly shares = [];

  attachShare(): never {
    throw new HyperError('unsupported', 'share directories with the machine');
  }

  plugCard(): never {
    throw new HyperError('unsupported', 'plug network card');
  }

  configureCard(): never {
    throw new HyperError('unsupported', 'configure network card');
  }

  unplugCard(): never {
    throw new HyperError('unsupported', 'unplug network card');
  }

  async cards(): Promise<[]> {
    return [];
  }

  forwardPort(): never {
    throw new HyperError('unsupported', 'forward port');
  }

  unforwardPort(): never {
    throw new HyperError('unsupported', 'end forward of port');
  }

  async forwardedPorts(): Promise<[]> {
    return [];
  }

  async diskUsage(): Promise<[]> {
    return [];
  }

  async setServices(): Promise<void> {
    await this.#answer();
  }

  async pause(): Promise<void> {
    await turns(1);
    this.#vm.isPaused = true;
  }

  async resume(): Promise<void> {
    await turns(1);
    this.#vm.isPaused = false;
  }

  async consoleTail(): Promise<string> {
    return '';
  }

  async stop(): Promise<void> {
    await turns(2);
    this.gone({ kind: 'stopped' });
    await this.exited;
  }

  detach(): void {
    this.#isDetached = true;
  }

  gone(exit: MachineExit): void {
    if (this.#vm.isGone) return;
    this.#vm.isGone = true;
    this.#onGone();
    if (this.#isDetached) return;
    this.#closed.resolve(new HyperError('machine', 'agent connection: closed by the machine'));
    this.#exit.resolve(exit);
  }

  /** Every call of the guest goes through here: a paused guest does not answer, one that is gone refuses. */
  async #answer(): Promise<void> {
    await turns(1);
    while (this.#vm.isPaused && !this.#vm.isGone) await turns(1);
    if (this.#vm.isGone) throw await this.#closed.promise;
  }

  readonly #agent: GuestAgent = {
    info: { agentVersion: '1', kernelRelease: '1', windowBytes: 65_536, configured: true },
    closed: this.#closed.promise,
    configure: () => this.#answer(),
    setClock: () => this.#answer(),
    setHostname: () => this.#answer(),
    attachDisk: () => this.#answer(),
    detachDisk: () => this.#answer(),
    mountShare: () => this.#answer(),
    addCard: () => this.#answer(),
    removeCard: () => this.#answer(),
    shutdown: () => this.#answer(),
    loadModules: () => this.#answer(),
    setServices: () => this.#answer(),
    stats: () => Promise.reject(new HyperError('unsupported', 'get stats')),
    containerProcesses: () => Promise.reject(new HyperError('unsupported', 'list processes')),
    startContainer: async (start, sink) => {
      await this.#answer();
      this.#checkStart(start);
      this.#vm.containers.add(start.containerId);
      return this.#start(start.containerId, start.process, sink, true);
    },
    startProcess: async (containerId, process, sink) => {
      await this.#answer();
      return this.#start(containerId, process, sink, false);
    },
    listProcesses: async () => {
      await this.#answer();
      return [...this.#vm.processes.values()].map(({ id, containerId, isInit, exit }) => ({
        ...{ id, containerId, init: isInit, tty: false, exit },
      }));
    },
    adoptProcess: async (state, _offsets, sink) => this.#follow(this.#process(state), sink),
    removeContainer: async (containerId) => {
      await this.#answer();
      if (!this.#vm.containers.has(containerId))
        throw new HyperError('not-found', `remove container "${containerId}": unknown`);
      if (this.#isRunning(containerId))
        throw new HyperError('precondition', `remove container "${containerId}": its init has not exited`);
      this.#vm.containers.delete(containerId);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };

  #checkStart({ containerId, rootfsDisk, scratchDisk, process }: ContainerStart): void {
    const { containers, disks, processes } = this.#vm;
    if (containers.has(containerId))
      throw new HyperError('conflict', `start container "${containerId}": taken`);
    if (!disks.has(rootfsDisk) || !disks.has(scratchDisk))
      throw new HyperError('machine', `start container "${containerId}": its disks are not plugged`);
    if (processes.has(process.id)) throw new HyperError('conflict', `start process ${process.id}: taken`);
  }

  #isRunning(containerId: string): boolean {
    return [...this.#vm.processes.values()].some(
      (process) => process.containerId === containerId && process.isInit && !process.exit,
    );
  }

  #start(
    containerId: string,
    { id, args, builtin }: ProcessSpec,
    sink: OutputSink,
    isInit: boolean,
  ): GuestProcess {
    const process: ScriptedProcess = {
      ...{
        id,
        containerId,
        isInit,
        isStubborn: args[0] === STUBBORN,
        exit: undefined,
        tell: () => undefined,
      },
    };
    this.#vm.processes.set(id, process);
    if (builtin) process.exit = { exitCode: 0, signal: 0, exitedAt: new Date(), outOfMemory: false };
    return this.#follow(process, sink);
  }

  #process({ id }: GuestProcessState): ScriptedProcess {
    const process = this.#vm.processes.get(id);
    if (process) return process;
    throw new HyperError('not-found', `adopt process ${id}`);
  }

  #follow(process: ScriptedProcess, sink: OutputSink): GuestProcess {
    const exited = Promise.withResolvers<ExitStatus>();
    exited.promise.catch(() => undefined); // nobody has to ask
    process.tell = (exit) => {
      exited.resolve(exit);
      setImmediate(() => {
        sink.end('stdout');
        sink.end('stderr');
      });
    };
    if (process.exit) process.tell(process.exit);
    void this.#closed.promise.then(exited.reject);
    return {
      id: process.id,
      exited: exited.promise,
      acknowledge: () => undefined,
      writeStdin: async () => undefined,
      endStdin: () => undefined,
      resize: () => this.#answer(),
      signal: async (signal) => {
        await this.#answer();
        if (process.exit) throw new HyperError('not-found', `find process ${process.id}: it has exited`);
        if (signal === 9 || (signal === 15 && !process.isStubborn)) endProcess(process, 128 + signal, signal);
      },
      release: async () => {
        await this.#answer();
        this.#vm.processes.delete(process.id);
      },
    };
  }
}

function endProcess(process: ScriptedProcess, exitCode: number, signal: number): void {
  process.exit = { exitCode, signal, exitedAt: new Date(), outOfMemory: false };
  process.tell(process.exit);
}

/** Lets others run. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
}
