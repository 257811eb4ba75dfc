import { HyperError } from '../errors.ts';
import type { FromAgent } from './gen/agent_pb.js';
import { errorOf } from './messages.ts';

export const MAX_CALLS = 4096;

export type Answer = FromAgent['body'];

interface PendingCall {
  readonly name: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Calls that wait for the guest's answer. Made by the connection, which fails them when it ends. */
export class PendingCalls {
  readonly #calls = new Map<number, PendingCall>();

  get isFull(): boolean {
    return this.#calls.size >= MAX_CALLS;
  }

  /** Resolves with the answer to the call `id`. Rejects with what the guest says, and `timeout`. */
  wait(id: number, name: string, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#calls.delete(id);
        reject(new HyperError('timeout', `${name}: no answer of the guest within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#calls.set(id, { name, resolve, reject, timer });
    });
  }

  /** Hands an answer to who waits for it. False: nobody does. */
  settle({ id, error, body }: FromAgent): boolean {
    const call = this.#calls.get(id);
    if (!call) return false;
    this.#calls.delete(id);
    clearTimeout(call.timer);
    if (error) call.reject(errorOf(call.name, error));
    else call.resolve(body);
    return true;
  }

  fail(reason: Error): void {
    for (const call of this.#calls.values()) {
      clearTimeout(call.timer);
      call.reject(reason);
    }
    this.#calls.clear();
  }
}
