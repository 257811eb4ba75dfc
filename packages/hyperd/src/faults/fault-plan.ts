/** What is to happen, and where. */
export type FaultPlan =
  | { readonly kind: 'none' | 'trace' }
  | {
      readonly kind: 'fault';
      /** Of the point; undefined: of any. */
      readonly name: string | undefined;
      /** How many-th time the point is passed, from 1. */
      readonly count: number;
      /** The system error that the action fails with; undefined: the process ends. */
      readonly error: string | undefined;
    };

const FAULT = /^(?<name>[^#=]+?)(?:#(?<count>\d{1,9}))?(?:=(?<error>E[A-Z0-9]+))?$/;

/**
 * `trace`; or `NAME`, `NAME#COUNT`, with `=ENOSPC` (or another system error) behind it where the action is to fail and the process to go on; `*` is
 * any point. Throws where the text is none of these.
 */
export function parseFaultPlan(text: string): FaultPlan {
  const trimmed = text.trim();
  if (trimmed === '') return { kind: 'none' };
  if (trimmed === 'trace') return { kind: 'trace' };
  const { name, count = '1', error } = FAULT.exec(trimmed)?.groups ?? {};
  if (name === undefined || Number(count) === 0)
    throw new Error(`HYPERD_FAULT="${trimmed}": want "trace", or NAME, NAME#COUNT, NAME#COUNT=ENOSPC`);
  return { kind: 'fault', name: name === '*' ? undefined : name, count: Number(count), error };
}

/** Counts points as they are passed, and tells when the planned one is. */
export class FaultCounter {
  readonly plan: FaultPlan;
  readonly #counts = new Map<string, number>();
  #all = 0;

  constructor(plan: FaultPlan) {
    this.plan = plan;
  }

  /** How many-th time the point is passed, and whether this is the one of the plan. */
  pass(name: string): { readonly count: number; readonly isIt: boolean } {
    const { plan } = this;
    this.#all++;
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    if (plan.kind !== 'fault') return { count, isIt: false };
    const reached = plan.name === undefined ? this.#all : plan.name === name ? count : 0;
    return { count, isIt: reached === plan.count };
  }
}
