import type { ProgressMessage } from '../images/image-service.ts';

const MAX_QUEUED = 1000;

/**
 * Progress messages on their way to a client that may read slowly: of the queued figures of one layer only the latest is kept, and
 * beyond the bound the oldest message goes.
 */
export class ProgressQueue {
  readonly #write: (message: ProgressMessage) => Promise<void>;
  readonly #queue: ProgressMessage[] = [];
  #pump: Promise<void> | undefined;

  constructor(write: (message: ProgressMessage) => Promise<void>) {
    this.#write = write;
  }

  push(message: ProgressMessage): void {
    const last = this.#queue.findLastIndex(({ id }) => id === message.id);
    if (last >= 0 && replaces(message, this.#queue[last])) this.#queue[last] = message;
    else this.#queue.push(message);
    if (this.#queue.length > MAX_QUEUED) this.#queue.shift();
    this.#pump ??= this.#writeAll();
  }

  /** Resolves when everything has been written, or the client has gone. */
  async flushed(): Promise<void> {
    await this.#pump;
  }

  async #writeAll(): Promise<void> {
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) await this.#write(next);
    } catch {
      this.#queue.length = 0; // the client has gone, and its signal tells the work
    }
    this.#pump = undefined;
  }
}

function replaces(message: ProgressMessage, queued: ProgressMessage | undefined): boolean {
  return message.progressDetail?.current !== undefined && queued?.status === message.status;
}
