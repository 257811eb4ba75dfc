import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { hostMemory, isHostBusy } from './host-load.ts';
import type { PoolUsage } from './machine.ts';
import { keyOf, type PoolDemand, type PoolKind, type StandingOrder } from './pool-demand.ts';
import type { RunningMachine } from './running-machine.ts';

export interface PoolSettings {
  /** Machines that wait at the same time; 0: none, the pool is off. Standing orders may be more. */
  readonly max: number;
  /** So many of the default shape wait at any time. */
  readonly min: number;
  /** Whether machines are prepared for the images that were used lately. */
  readonly images: boolean;
  /** How long a kind of machine is kept ready after the last start that could use it, in minutes. */
  readonly idleMinutes: number;
  readonly standing: readonly StandingOrder[];
}

export interface PoolOptions {
  readonly demand: PoolDemand;
  /** Makes a machine that waits, rehearsed and paused. It is ended by whoever has it. */
  readonly make: (kind: PoolKind, signal: AbortSignal) => Promise<RunningMachine>;
  readonly logger: Logger;
}

/** After the last start has ended: its container has the processors for itself. */
const QUIET_MS = 500;
const LOOK_MS = 15_000;
const BUSY_RETRY_MS = 1_000;
/** A host that is always busy still gets its machines, this far apart. */
const BUSY_PATIENCE_MS = 5_000;
const FAILURE_PAUSE_MS = 60_000;
/** Of the host's memory: the pool makes nothing below the one, and gives up what waits below the other. */
const SCARCE_PART = 0.25;
const SHORT_PART = 0.1;

/**
 * Machines that wait for their pod. `take` hands one out; what is missing is made in the background, one at a time, while nobody starts anything.
 * Made by the machine service, which disposes of it: what waits is ended then.
 */
export class MachinePool implements AsyncDisposable {
  readonly #options: PoolOptions;
  readonly #waiting: { readonly kind: PoolKind; readonly item: RunningMachine }[] = [];
  readonly #ended = new AbortController();
  #making:
    | { readonly kind: PoolKind; readonly abort: AbortController; readonly done: Promise<void> }
    | undefined;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #startsUnderWay = 0;
  #quietUntil = 0;
  #busySince: number | undefined;
  #failure: { readonly message: string; readonly at: number } | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** What should wait is made from now on. */
  open(): void {
    this.#lookIn(QUIET_MS);
  }

  /** Records that a machine of this kind is asked for, and holds back the making of others until it is disposed of. */
  starting(kind: PoolKind): Disposable {
    this.#options.demand.note(kind, performance.now());
    this.#startsUnderWay++;
    return {
      [Symbol.dispose]: () => {
        this.#startsUnderWay--;
        if (this.#startsUnderWay > 0) return;
        this.#quietUntil = performance.now() + QUIET_MS;
        this.#lookIn(QUIET_MS);
      },
    };
  }

  /** A machine of exactly this kind; it is the caller's, and may have died. */
  take(kind: PoolKind): RunningMachine | undefined {
    const at = this.#indexOf(kind);
    return at < 0 ? undefined : this.#waiting.splice(at, 1)[0]?.item;
  }

  has(kind: PoolKind): boolean {
    return this.#indexOf(kind) >= 0;
  }

  /** Ends what waits with this outfit, and makes no more of it until it is asked for again. */
  async drain(outfit: string): Promise<void> {
    this.#options.demand.forget(outfit);
    const making = this.#making?.kind.outfit === outfit ? this.#making : undefined;
    making?.abort.abort();
    await Promise.all([
      making?.done,
      ...this.#waiting.filter(({ kind }) => kind.outfit === outfit).map(({ item }) => this.#end(item)),
    ]);
  }

  usage(): Omit<PoolUsage, 'max'> {
    return {
      wanted: this.#options.demand.wanted(performance.now()).length,
      waiting: this.#waiting.map(({ kind }) => kind),
      isMaking: this.#making !== undefined,
      failure: this.#failure?.message,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    clearTimeout(this.#timer);
    this.#making?.abort.abort();
    await this.#making?.done;
    await Promise.all([...this.#waiting].map(({ item }) => this.#end(item)));
  }

  #indexOf(wanted: PoolKind): number {
    return this.#waiting.findIndex(({ kind }) => keyOf(kind) === keyOf(wanted));
  }

  /** There is one timer: the earliest look wins. */
  #lookIn(ms: number): void {
    const dueAt = performance.now() + ms;
    if (this.#ended.signal.aborted || dueAt >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => {
      this.#dueAt = Number.POSITIVE_INFINITY;
      this.#look().catch((error: unknown) =>
        this.#options.logger.error({ err: error }, 'look after the pool'),
      );
    }, ms).unref();
  }

  async #look(): Promise<void> {
    this.#lookIn(LOOK_MS);
    if (this.#making) return;
    const now = performance.now();
    const memory = await hostMemory();
    const { missing, surplus } = this.#options.demand.compare(this.#waiting, now);
    const isShort = memory.availableMib < memory.totalMib * SHORT_PART;
    for (const machine of isShort ? this.#waiting.map(({ item }) => item) : surplus) await this.#end(machine);
    const [next] = missing;
    if (!next || this.#startsUnderWay > 0) return; // the start's end looks again
    if (now < this.#quietUntil) return this.#lookIn(this.#quietUntil - now);
    if (memory.availableMib < memory.totalMib * SCARCE_PART) return;
    if (this.#failure && now - this.#failure.at < FAILURE_PAUSE_MS) return;
    if (await this.#shouldWait(now)) return this.#lookIn(BUSY_RETRY_MS);
    if (this.#making || this.#ended.signal.aborted) return;
    this.#make(next);
  }

  async #shouldWait(now: number): Promise<boolean> {
    this.#busySince ??= now;
    if (now - this.#busySince < BUSY_PATIENCE_MS && (await isHostBusy())) return true;
    this.#busySince = undefined;
    return false;
  }

  #make(kind: PoolKind): void {
    const abort = new AbortController();
    const work = async (): Promise<void> => {
      try {
        const machine = await this.#options.make(kind, abort.signal);
        if (abort.signal.aborted) await machine.stop();
        else this.#keep(kind, machine);
        this.#failure = undefined;
      } catch (error) {
        if (abort.signal.aborted) return;
        // An image may be of no use, or just removed, which says nothing of the other kinds.
        if (kind.outfit !== undefined) this.#options.demand.forget(kind.outfit);
        this.#failure = {
          message: messageOf(error),
          at: kind.outfit === undefined ? performance.now() : -FAILURE_PAUSE_MS,
        };
        this.#options.logger.warn({ kind: keyOf(kind), err: error }, 'prepare machine for the pool');
      } finally {
        this.#making = undefined;
        this.#lookIn(0);
      }
    };
    this.#making = { kind, abort, done: sleep(0).then(work) };
  }

  #keep(kind: PoolKind, machine: RunningMachine): void {
    const place = { kind, item: machine };
    this.#waiting.push(place);
    void machine.exited.then(() => {
      this.#remove(machine);
      this.#lookIn(QUIET_MS);
    });
  }

  async #end(machine: RunningMachine): Promise<void> {
    this.#remove(machine);
    await machine.stop();
  }

  #remove(machine: RunningMachine): void {
    const at = this.#waiting.findIndex(({ item }) => item === machine);
    if (at >= 0) this.#waiting.splice(at, 1);
  }
}
