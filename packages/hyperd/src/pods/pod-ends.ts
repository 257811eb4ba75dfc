import { untilAborted } from './cancel.ts';
import { exitCodeOf } from './lifecycle.ts';
import type { PodEnd, PodView } from './pod-service.ts';

/** Those who wait for the end of one pod. */
export class PodEnds {
  #next = Promise.withResolvers<PodView>();

  /** The pod has ended, and nothing will start it again by itself; or it is about to be removed. */
  tell(view: PodView): void {
    this.#next.resolve(view);
    this.#next = Promise.withResolvers();
  }

  /** See `PodService.waitPod`. */
  async wait(
    pod: { readonly id: string; readonly isOver: boolean; view(): PodView },
    { next, signal }: { readonly next: boolean; readonly signal: AbortSignal },
  ): Promise<PodEnd> {
    const isIdle = pod.isOver || pod.view().state.phase === 'pending';
    const view =
      isIdle && !next
        ? pod.view()
        : await untilAborted(this.#next.promise, signal, `wait for pod "${pod.id}"`);
    return { ...view, exitCode: exitCodeOf(view) };
  }
}
