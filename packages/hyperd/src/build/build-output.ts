import type { ProgressMessage } from '../images/image-service.ts';

/** Where a build's messages go. Resolves when more may come. */
export type Emit = (message: ProgressMessage) => Promise<void>;

/** What a stage may have waiting behind the ones before it, in characters. */
const MAX_WAITING = 1 << 20;

/**
 * Puts the messages of stages that run side by side in the order of the stages: those of the first that has not ended go out at once, the others wait.
 */
export class BuildOutput {
  readonly #emit: Emit;
  readonly #order: readonly number[];
  readonly #waiting = new Map<number, { messages: ProgressMessage[]; size: number; hasEnded: boolean }>();
  #front = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(emit: Emit, order: readonly number[]) {
    this.#emit = emit;
    this.#order = order;
    for (const stage of order) this.#waiting.set(stage, { messages: [], size: 0, hasEnded: false });
  }

  /** The messages of one stage. */
  of(stage: number): Emit {
    return (message) => {
      if (this.#order[this.#front] === stage) return this.#send(message);
      const queue = this.#waiting.get(stage);
      if (!queue) return this.#send(message);
      queue.size += message.stream?.length ?? 0;
      if (queue.size < MAX_WAITING) queue.messages.push(message);
      else if (queue.messages.at(-1)?.stream !== CLIPPED) queue.messages.push({ stream: CLIPPED });
      return Promise.resolve();
    };
  }

  /** The stage says no more. */
  end(stage: number): void {
    const queue = this.#waiting.get(stage);
    if (queue) queue.hasEnded = true;
    while (this.#waiting.get(this.#order[this.#front] ?? -1)?.hasEnded) {
      this.#front++;
      const next = this.#waiting.get(this.#order[this.#front] ?? -1);
      for (const message of next?.messages.splice(0) ?? []) void this.#send(message);
    }
  }

  /** Everything goes out, whatever the order: the build has failed. */
  async flush(): Promise<void> {
    for (const queue of this.#waiting.values())
      for (const message of queue.messages.splice(0)) void this.#send(message);
    await this.#tail;
  }

  #send(message: ProgressMessage): Promise<void> {
    this.#tail = this.#tail.then(() => this.#emit(message));
    this.#tail.catch(() => undefined); // the client has gone: its signal ends the build
    return this.#tail;
  }
}

const CLIPPED = '[output clipped: too much while the stages before were running]\n';
