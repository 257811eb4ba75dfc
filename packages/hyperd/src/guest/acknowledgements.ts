/**
 * Every acknowledgement wakes the guest, which costs an emulated one as much as a frame of output: they are sent for a good part of the window at
 * once, and what is less than that waits a moment for more.
 */
const DUE_WINDOW_PART = 4;
const DELAY_MS = 20;

/** What the guest is to be told of output that is safe with us: the latest offset of each stream, soon. Made and closed by the connection. */
export class Acknowledgements {
  readonly #send: (stream: number, offset: number) => void;
  readonly #waiting = new Map<number, number>();
  /** What has been sent, per stream. */
  readonly #sent = new Map<number, number>();
  #immediate: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(send: (stream: number, offset: number) => void) {
    this.#send = send;
  }

  /** Everything of `stream` below `offset` is safe. */
  add(stream: number, offset: number, windowBytes: number): void {
    this.#waiting.set(stream, offset);
    const isDue = offset - (this.#sent.get(stream) ?? 0) >= windowBytes / DUE_WINDOW_PART;
    if (isDue) this.#immediate ??= setImmediate(() => this.#flush());
    else this.#timer ??= setTimeout(() => this.#flush(), DELAY_MS);
  }

  /** The guest knows that already. */
  begin(stream: number, offset: number): void {
    this.#sent.set(stream, offset);
  }

  forget(stream: number): void {
    this.#waiting.delete(stream);
    this.#sent.delete(stream);
  }

  /** Nothing is sent any more. */
  drop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#immediate = this.#timer = undefined;
    this.#waiting.clear();
  }

  #flush(): void {
    const waiting = [...this.#waiting];
    this.drop();
    for (const [stream, offset] of waiting) {
      this.#sent.set(stream, offset);
      this.#send(stream, offset);
    }
  }
}
