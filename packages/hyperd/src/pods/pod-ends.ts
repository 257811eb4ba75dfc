import { untilAborted } from './cancel.ts';
import { exitCodeOf } from './lifecycle.ts';
import type { PodEnd, PodView } from './pod-service.ts';

/** Those who wait for the end of one pod. Nothing is left of one that no longer does. */
export class PodEnds {
  readonly #waiting = new Set<(view: PodView) => void>();

  /** The pod has ended, and nothing will start it again by itself; or it is about to be removed. */
  tell(view: PodView): void {
    for (const resolve of this.#waiting) resolve(view);
  }

  /** See `PodService.waitPod`. */
  async wait(
    pod: { readonly id: string; readonly isOver: boolean; view(): PodView },
    { next, signal }: { readonly next: boolean; readonly signal: AbortSignal },
  ): Promise<PodEnd> {
    const isIdle = pod.isOver || pod.view().state.phase === 'pending';
    const view = isIdle && !next ? pod.view() : await this.#next(pod.id, signal);
    return { ...view, exitCode: exitCodeOf(view) };
  }

  async #next(pod: string, signal: AbortSignal): Promise<PodView> {
    const { promise, resolve } = Promise.withResolvers<PodView>();
    this.#waiting.add(resolve);
    try {
      return await untilAborted(promise, signal, `wait for pod "${pod}"`);
    } finally {
      this.#waiting.delete(resolve);
    }
  }
}
