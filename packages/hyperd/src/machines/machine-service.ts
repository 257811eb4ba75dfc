import { randomBytes } from 'node:crypto';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { HyperError, messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import type { ConnectAgent } from '../guest/index.ts';
import { isOutOfRoom } from '../host-failure.ts';
import { type MachineId, newMachineId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import type { State } from '../state/database.ts';
import type { Ailment } from '../upkeep/index.ts';
import type { Cgroups } from './cgroups.ts';
import type { VmDriver } from './driver.ts';
import { examineMachines } from './examine-machines.ts';
import type { FileServers } from './file-server.ts';
import { hardwareOf, LiveMachines } from './live-machines.ts';
import type { LivenessTiming } from './liveness.ts';
import type {
  AcquireRequest,
  Machine,
  MachineService,
  MachineShape,
  MachinesUsage,
  Outfitter,
} from './machine.ts';
import { createMachineRecords, type MachineRecord } from './machine-records.ts';
import type { MachineUsers } from './machine-users.ts';
import { MachinePool, type PoolSettings } from './pool.ts';
import { PoolDemand, type PoolKind } from './pool-demand.ts';
import { rehearse } from './rehearsal.ts';
import type { RunningMachine } from './running-machine.ts';
import type { ScratchDisks } from './scratch-disk.ts';
import { Semaphore } from './semaphore.ts';
import { checkShape, hostSize } from './shape-limits.ts';
import { createTemplates } from './templates.ts';

const DEFAULT_BOOT_TIMEOUT_MS = 120_000;
/** More starts than this at once only take each other's time. */
const MAX_CONCURRENT_STARTS = 4;
/** The name of a machine that has no pod yet. */
const POOL_HOSTNAME = 'hyper';
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
  /** Absent: machines run as the daemon does. */
  readonly users?: MachineUsers | undefined;
  /** Absent: nothing bounds machines. */
  readonly cgroups?: Cgroups | undefined;
  /** Absent: there is no pool. */
  readonly pool?: PoolOptions | undefined;
  readonly scratch: ScratchDisks;
  /** Root file system of a tiny image, for rehearsals. */
  readonly rehearsalDisk: string;
  /** Sizes whose machines are booted, not cloned from a template. */
  readonly booted?: readonly MachineShape[];
  /** How long a machine may take from power-on to its agent's answer, in ms (default 120,000: emulated machines are slow). */
  readonly bootTimeoutMs?: number;
  /** How machines are watched (default: `LIVENESS`). */
  readonly liveness?: LivenessTiming;
}

export interface PoolOptions extends PoolSettings {
  /** The size of most pods. */
  readonly defaultShape: MachineShape;
  readonly outfitter: Outfitter;
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
  readonly #records: ReturnType<typeof createMachineRecords>;
  readonly #live: LiveMachines;
  readonly #templates: ReturnType<typeof createTemplates>;
  readonly #slots = new Semaphore(MAX_CONCURRENT_STARTS);
  readonly #pool: MachinePool | undefined;
  readonly #starts = { pool: 0, clone: 0, boot: 0 };
  #outfitted = 0;
  #failedClones = 0;
  #lastCloneFailure: string | undefined;

  constructor(options: MachineServiceOptions) {
    const { root, state, driver, connectAgent, logger } = options;
    this.#options = options;
    const bootTimeoutMs = options.bootTimeoutMs ?? DEFAULT_BOOT_TIMEOUT_MS;
    this.#records = createMachineRecords(state);
    this.#live = new LiveMachines({
      ...{ ...options, bootTimeoutMs, directory: join(root, 'machines'), records: this.#records },
    });
    this.#templates = createTemplates({
      directory: join(root, 'templates'),
      driver,
      connectAgent,
      logger,
      bootTimeoutMs,
      user: options.users?.template,
      rehearse: (stage, directory) => rehearse(stage, directory, options),
    });
    this.#pool = options.pool && this.#makePool(options.pool);
  }

  async open(): Promise<void> {
    await this.#live.open();
    await this.#templates.tidy();
  }

  info(): ReturnType<VmDriver['info']> {
    return this.#options.driver.info();
  }

  checkShape(shape: MachineShape, place: { readonly vcpus: string; readonly memory: string }): void {
    checkShape(shape, hostSize(), place);
  }

  async prepare(shape: MachineShape): Promise<void> {
    await this.#templates.get(hardwareOf(shape), { ahead: true });
  }

  list(): { id: MachineId; owner: MachineRecord['owner'] }[] {
    const handedOut = this.#records.all().filter(({ phase }) => phase !== 'pooled');
    return handedOut.map(({ id, owner }) => ({ id, owner }));
  }

  usage(): MachinesUsage {
    const { max = 0 } = this.#options.pool ?? {};
    return {
      ...{ starts: { ...this.#starts }, outfitted: this.#outfitted },
      ...{ failedClones: this.#failedClones, lastCloneFailure: this.#lastCloneFailure },
      pool: this.#pool && { ...this.#pool.usage(), max },
    };
  }

  hasOutfitted(
    request: Pick<AcquireRequest, 'shape' | 'outfit' | 'sharesMemory' | 'network' | 'diskImages'>,
  ): boolean {
    const kind = this.#kindOf(request);
    return kind?.outfit !== undefined && (this.#pool?.has(kind) ?? false);
  }

  async drain(outfit: string): Promise<void> {
    await this.#pool?.drain(outfit);
  }

  examine(): Promise<Ailment[]> {
    return examineMachines({
      root: this.#options.root,
      cgroups: this.#options.cgroups,
      isKnown: (id) => this.#records.all().some((record) => record.id === id),
      lost: () => this.#live.lost(),
    });
  }

  async acquire(request: AcquireRequest): Promise<Machine> {
    const kind = this.#kindOf(request);
    using _start = kind && this.#pool?.starting(kind);
    const machine = (kind && (await this.#fromPool(kind, request))) ?? (await this.#fresh(request));
    const { source = 'boot', outfit } = machine;
    this.#starts[source]++;
    if (outfit !== undefined) this.#outfitted++;
    this.#options.events.machine(machine.id, 'start', { pod: request.owner, source });
    return machine;
  }

  async adoptAll(): Promise<Machine[]> {
    const adopted = await this.#live.adoptAll();
    this.#pool?.open();
    return adopted;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.[Symbol.asyncDispose]();
    await this.#live[Symbol.asyncDispose]();
  }

  /** Of what kind a machine of the pool would have to be; undefined: the pool has none such. */
  #kindOf({
    shape: { vcpus, memoryMib },
    outfit,
    sharesMemory,
    network,
    diskImages = [],
  }: Pick<AcquireRequest, 'shape' | 'outfit' | 'sharesMemory' | 'network' | 'diskImages'>):
    | PoolKind
    | undefined {
    const { pool } = this.#options;
    if (!pool || sharesMemory || network || diskImages.length > 0) return undefined;
    return { shape: { vcpus, memoryMib }, outfit: pool.images ? outfit : undefined };
  }

  /** The first that lives of those that fit, the best first. */
  async #fromPool(
    kind: PoolKind,
    { owner, identity, signal, onId }: AcquireRequest,
  ): Promise<Machine | undefined> {
    const fitting = [kind, ...(kind.outfit === undefined ? [] : [{ ...kind, outfit: undefined }])];
    for (const wanted of fitting) {
      for (let machine = this.#pool?.take(wanted); machine; machine = this.#pool?.take(wanted)) {
        onId?.(machine.id);
        try {
          if (this.#live.mayRaisePriority) machine.setNiceness(getPriority());
          await machine.handOut(owner, identity);
          signal?.throwIfAborted();
          return machine;
        } catch (error) {
          await machine.stop();
          if (signal?.aborted) throw new HyperError('canceled', 'start machine: canceled', { cause: error });
          this.#options.logger.warn(
            { machine: machine.id, err: error },
            'take machine of the pool; another one is used',
          );
        }
      }
    }
    return undefined;
  }

  async #fresh(request: AcquireRequest): Promise<Machine> {
    const { signal, shape, owner } = request;
    const id = newMachineId();
    request.onId?.(id);
    const template = await this.#templateFor(shape);
    using _slot = await this.#slots.enter(signal);
    const record: MachineRecord = {
      ...{ id, owner, phase: 'starting', process: undefined, shape, disks: [], shares: [] },
      ...{ sharesMemory: request.sharesMemory ?? false, ...this.#confinementOf(id) },
    };
    this.#records.insert(record);
    try {
      return await this.#live.start(record, request, { source: template ? 'clone' : 'boot', template });
    } catch (error) {
      if (signal?.aborted || !template || isOutOfRoom(error)) throw error; // a boot needs more room, not less
      const reason = messageOf(error);
      this.#failedClones++;
      this.#lastCloneFailure = reason;
      this.#options.logger.warn({ machine: id, err: error }, 'clone machine; booting it instead');
      this.#options.events.machine(id, 'boot', { pod: owner, reason });
      await this.#templates.discard(hardwareOf(shape));
      this.#records.insert(record);
      return await this.#live.start(record, request, { source: 'boot' });
    }
  }

  /** Its cgroup, and a user that no machine has, as the rows tell: they outlive daemons. The row is to be written at once. */
  #confinementOf(id: MachineId): Pick<MachineRecord, 'uid' | 'cgroups'> {
    const { users, cgroups } = this.#options;
    const taken = new Set(this.#records.all().flatMap(({ uid }) => uid ?? []));
    return { uid: users?.pick(taken).uid, cgroups: cgroups?.directoriesOf(id) ?? [] };
  }

  /** What machines of the shape are cloned from; undefined: they are booted. */
  async #templateFor(shape: MachineShape, how?: { readonly ahead: boolean }): Promise<string | undefined> {
    const { booted = [] } = this.#options;
    const isBooted = booted.some(
      ({ vcpus, memoryMib }) => vcpus === shape.vcpus && memoryMib === shape.memoryMib,
    );
    return isBooted ? undefined : this.#templates.get(hardwareOf(shape), how);
  }

  #makePool(options: PoolOptions): MachinePool {
    const { max, min, idleMinutes, standing, defaultShape } = options;
    const always = min > 0 ? [{ shape: defaultShape, count: min }] : [];
    const demand = new PoolDemand({ max, standing: [...standing, ...always], keepMs: idleMinutes * 60_000 });
    return new MachinePool({
      ...{ demand, logger: this.#options.logger },
      make: (kind, signal) => this.#makePooled(kind, signal, options),
    });
  }

  /** A machine that waits for its pod: rehearsed, and paused, so that it takes no time of the host's processors. */
  async #makePooled(kind: PoolKind, signal: AbortSignal, options: PoolOptions): Promise<RunningMachine> {
    const { shape, outfit } = kind;
    const id = newMachineId();
    const template = await this.#templateFor(shape, { ahead: true });
    signal.throwIfAborted();
    const record: MachineRecord = {
      ...{ id, owner: undefined, phase: 'pooled', process: undefined, shape, disks: [], shares: [] },
      ...{ sharesMemory: false, ...this.#confinementOf(id) },
    };
    this.#records.insert(record);
    const identity = { hostname: POOL_HOSTNAME, machineId: randomBytes(16).toString('hex') };
    const request = { shape, owner: undefined, identity, signal };
    const machine = await this.#live.start(record, request, { source: 'pool', template });
    try {
      const directory = this.#live.directoryOf(id);
      if (outfit === undefined) await rehearse(machine, directory, this.#options);
      else await options.outfitter.dress(machine, outfit, directory);
      machine.outfit = outfit;
      await machine.pause();
      return machine;
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }
}
