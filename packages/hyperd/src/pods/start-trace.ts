import type { MachineSource } from '../machines/machine.ts';

/**
 * What a pod's start consists of. `image`: its root file systems and writable disk are made ready, which goes on beside `machine`; `machine`: one is got, with
 * its agent configured; `disks`: they are plugged and mounted; `exec`: containers are set up, up to execve.
 */
export type StartPhase =
  | 'ports'
  | 'network'
  | 'image'
  | 'machine'
  | 'disks'
  | 'cards'
  | 'volumes'
  | 'forward'
  | 'exec';

/** Where the time of a start went, in ms. Phases may overlap. */
export interface StartTrace {
  readonly startedAt: Date;
  /** Undefined for a machine that was given, or where the start failed before there was one. */
  readonly source: MachineSource | undefined;
  /** The machine was prepared for the pod's image. */
  readonly ready: boolean;
  readonly phases: readonly { readonly name: StartPhase; readonly atMs: number; readonly ms: number }[];
  /** Until the start was answered; undefined while it goes on. */
  readonly totalMs: number | undefined;
  /** Until the first output of any container reached the daemon; undefined as long as there is none. */
  readonly firstByteMs: number | undefined;
}

/** Times one start of a pod. */
export class StartRecorder {
  readonly #startedAt = new Date();
  readonly #began = performance.now();
  readonly #phases: { name: StartPhase; atMs: number; ms: number }[] = [];
  #machine: { readonly source: MachineSource | undefined; readonly ready: boolean } | undefined;
  #totalMs: number | undefined;
  #firstByteMs: number | undefined;

  /** Times `work` as a phase, whether it fails or not. */
  async phase<T>(name: StartPhase, work: () => Promise<T>): Promise<T> {
    const phase = { name, atMs: this.#elapsed(), ms: 0 };
    this.#phases.push(phase);
    try {
      return await work();
    } finally {
      phase.ms = round(this.#elapsed() - phase.atMs);
    }
  }

  machine(source: MachineSource | undefined, ready: boolean): void {
    this.#machine = { source, ready };
  }

  firstByte(): void {
    this.#firstByteMs ??= this.#elapsed();
  }

  end(): void {
    this.#totalMs ??= this.#elapsed();
  }

  get trace(): StartTrace {
    return {
      startedAt: this.#startedAt,
      ...{ source: this.#machine?.source, ready: this.#machine?.ready ?? false },
      phases: this.#phases.map((phase) => ({ ...phase })),
      ...{ totalMs: this.#totalMs, firstByteMs: this.#firstByteMs },
    };
  }

  #elapsed(): number {
    return round(performance.now() - this.#began);
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
