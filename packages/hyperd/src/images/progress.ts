import type { ProgressListener } from './image-service.ts';

const INTERVAL_MS = 100;

/** Figures of one transfer, told at most ten times a second, and at its end. */
export class ProgressMeter {
  readonly #listener: ProgressListener;
  readonly #of: { readonly status: string; readonly id: string; readonly totalBytes: number };
  #shownAt = 0;

  constructor(
    listener: ProgressListener,
    of: { readonly status: string; readonly id: string; readonly totalBytes: number },
  ) {
    this.#listener = listener;
    this.#of = of;
  }

  show(current: number): void {
    const { status, id, totalBytes } = this.#of;
    const now = Date.now();
    if (now - this.#shownAt < INTERVAL_MS && current < totalBytes) return;
    this.#shownAt = now;
    this.#listener({ status, id, progressDetail: { current, total: totalBytes } });
  }
}
