import { HyperError } from '../errors.ts';
import { type ExecId, newExecId } from '../ids.ts';
import { untilAborted } from '../pods/cancel.ts';

const MAX_KEPT = 1000;

/**
 * Exit codes of commands run in machines outside of containers: the connection that runs one has no place for its code, so it is kept
 * under an id for a later /exitcode. The oldest go first.
 */
export class MachineExecs {
  readonly #codes = new Map<string, Promise<number>>();

  /** An id, and the function that tells how its command ended. */
  open(): { readonly id: ExecId; readonly settle: (code: Promise<number>) => void } {
    const id = newExecId();
    const { promise, resolve } = Promise.withResolvers<number>();
    promise.catch(() => undefined); // told to who asks, and by the session itself
    this.#codes.set(id, promise);
    if (this.#codes.size > MAX_KEPT) this.#codes.delete(this.#codes.keys().next().value ?? '');
    return { id, settle: resolve };
  }

  /** The exit code, once the command has ended. Rejects `not-found`, `canceled`, or as the command's run did. */
  async wait(id: string, signal: AbortSignal): Promise<number> {
    const code = this.#codes.get(id);
    if (!code) throw new HyperError('not-found', `no exec ${id} exists`);
    return untilAborted(code, signal, `wait for exec ${id}`);
  }
}
