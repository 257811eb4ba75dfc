import type { MachineShape } from './machine.ts';

/** A kind of machine that the pool can have ready. */
export interface PoolKind {
  readonly shape: MachineShape;
  /** What it is prepared for besides: the id of an image. Undefined: for any. */
  readonly outfit: string | undefined;
}

/** So many machines of a shape wait at any time, whatever was asked for. */
export interface StandingOrder {
  readonly shape: MachineShape;
  readonly count: number;
}

export interface DemandSettings {
  /** Machines that wait at the same time, of all kinds. */
  readonly max: number;
  readonly standing: readonly StandingOrder[];
  /** How long a kind is kept ready after a start that could use it, in ms. */
  readonly keepMs: number;
}

/** Starts that were so close together may be as close the next time. */
const BURST_MS = 60_000;
const MAX_KINDS = 64;

export function keyOf({ shape, outfit }: PoolKind): string {
  return `${shape.vcpus}x${shape.memoryMib}${outfit === undefined ? '' : ` ${outfit}`}`;
}

/** What was asked for lately, and what should wait because of it. Times are ms of any clock that does not go back. */
export class PoolDemand {
  readonly #settings: DemandSettings;
  /** Starts of each kind that are not forgotten yet; the kind that was asked for last is last. */
  readonly #starts = new Map<string, { readonly kind: PoolKind; readonly times: number[] }>();

  constructor(settings: DemandSettings) {
    this.#settings = settings;
  }

  note(kind: PoolKind, now: number): void {
    const key = keyOf(kind);
    const times = this.#starts.get(key)?.times.slice(1 - this.#settings.max) ?? [];
    this.#starts.delete(key);
    this.#starts.set(key, { kind, times: [...times, now] });
    if (this.#starts.size > MAX_KINDS) this.#starts.delete(this.#starts.keys().next().value as string);
  }

  /** Forgets all kinds with this outfit. */
  forget(outfit: string): void {
    for (const [key, { kind }] of this.#starts) if (kind.outfit === outfit) this.#starts.delete(key);
  }

  /**
   * What should wait, the most wanted first: the standing orders, one of each kind that was asked for lately, the latest first, then more of those that
   * were asked for several times within a minute.
   */
  wanted(now: number): PoolKind[] {
    const { max, standing, keepMs } = this.#settings;
    const orders = standing.flatMap(({ shape, count }) =>
      Array.from({ length: count }, () => ({ shape, outfit: undefined })),
    );
    const recent = [...this.#starts.values()]
      .reverse()
      .filter(({ times }) => now - (times.at(-1) ?? 0) < keepMs)
      .map(({ kind, times }) => ({ kind, count: times.filter((time) => now - time < BURST_MS).length }));
    const wanted: PoolKind[] = [...orders];
    for (let copy = 1; copy <= max; copy++) {
      for (const { kind, count } of recent) {
        // A standing order already holds the first copies of its kind.
        const held = wanted.filter((other) => keyOf(other) === keyOf(kind)).length;
        if (held < copy && (copy === 1 || count >= copy)) wanted.push(kind);
      }
    }
    return wanted.slice(0, Math.max(max, orders.length));
  }

  /** Takes what is there off from what should be: what is missing, the most wanted first, and which of those there are too many. */
  compare<T>(
    waiting: readonly { readonly kind: PoolKind; readonly item: T }[],
    now: number,
  ): { missing: PoolKind[]; surplus: T[] } {
    const missing = this.wanted(now);
    const surplus: T[] = [];
    for (const { kind, item } of waiting) {
      const at = missing.findIndex((wanted) => keyOf(wanted) === keyOf(kind));
      if (at < 0) surplus.push(item);
      else missing.splice(at, 1);
    }
    return { missing, surplus };
  }
}
