import { HyperError } from '../errors.ts';
import type { HyperEvent } from './event.ts';

const HISTORY = 1024;
/** Events that may wait for one reader. */
const MAX_WAITING = 4096;
const MAX_FOLLOWERS = 512;
/** A clock that is set back by less than this only makes the next events follow closely. */
const CLOCK_STEP_NS = 1e9;
const MICROSECOND_NS = 1000;
/** setTimeout takes no more. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface FollowOptions {
  /** From this time on, in ns since the epoch, what is still known; without it (and `untilNs`) only what is to come. */
  readonly sinceNs?: number | undefined;
  /** Ends the stream at this time, which may lie in the past. */
  readonly untilNs?: number | undefined;
  readonly matches?: (event: HyperEvent) => boolean;
  /** Ends the stream. */
  readonly signal: AbortSignal;
}

/** What has happened lately, and those who want to know what happens next. Both are bounded: history is a ring, a slow reader is dropped. */
export class EventLog {
  readonly #history: HyperEvent[] = [];
  readonly #followers = new Set<Follower>();
  #lastNs = 0;

  /** How many read it now. */
  get followers(): number {
    return this.#followers.size;
  }

  /** Tells everybody. Never throws. */
  raise(event: Omit<HyperEvent, 'time' | 'timeNano'>): void {
    const timed = this.#timed(event);
    this.#history.push(timed);
    if (this.#history.length > HISTORY) this.#history.shift();
    for (const follower of this.#followers) follower.take(timed);
  }

  /**
   * Events in their order, from the call on. A reader that leaves too many waiting gets those, and `events dropped` as the last one. Throws `limit`
   * when there are too many readers. A reader counts until it has read to the end, or `signal` is aborted.
   */
  follow(options: FollowOptions): AsyncIterable<HyperEvent> {
    if (this.#followers.size >= MAX_FOLLOWERS)
      throw new HyperError('limit', `follow events: ${MAX_FOLLOWERS} clients do so already`);
    const { sinceNs, untilNs, matches = () => true, signal } = options;
    const follower = new Follower({
      wants: (event) => event.timeNano <= (untilNs ?? Number.POSITIVE_INFINITY) && matches(event),
      dropped: () =>
        this.#timed({
          ...{ type: 'events', action: 'dropped', id: '', name: '' },
          attributes: { reason: `the reader was too slow: ${MAX_WAITING} events waited for it` },
        }),
    });
    if (sinceNs !== undefined || untilNs !== undefined) {
      for (const event of this.#history) if (event.timeNano >= (sinceNs ?? 0)) follower.take(event);
    }
    this.#followers.add(follower);
    const gone = (): void => {
      follower.end();
      this.#followers.delete(follower);
    };
    signal.addEventListener('abort', gone, { once: true });
    if (signal.aborted) gone();
    return this.#read(follower, untilNs, () => {
      signal.removeEventListener('abort', gone);
      gone();
    });
  }

  async *#read(
    follower: Follower,
    untilNs: number | undefined,
    release: () => void,
  ): AsyncGenerator<HyperEvent> {
    using _timer = callAt(untilNs, () => follower.end());
    try {
      for (let event = await follower.next(); event; event = await follower.next()) yield event;
    } finally {
      release();
    }
  }

  #timed(event: Omit<HyperEvent, 'time' | 'timeNano'>): HyperEvent {
    const now = Date.now() * 1e6;
    const isAhead = now > this.#lastNs || this.#lastNs - now > CLOCK_STEP_NS;
    this.#lastNs = isAhead ? now : this.#lastNs + MICROSECOND_NS;
    return { time: Math.floor(this.#lastNs / 1e9), timeNano: this.#lastNs, ...event };
  }
}

/** Calls `work` at a time in ns since the epoch, unless disposed of before. */
function callAt(timeNs: number | undefined, work: () => void): Disposable {
  let timer: NodeJS.Timeout | undefined;
  const wait = (): void => {
    const leftMs = Math.ceil((timeNs ?? 0) / 1e6) - Date.now();
    if (leftMs <= 0) work();
    else timer = setTimeout(wait, Math.min(leftMs, MAX_TIMER_MS));
  };
  if (timeNs !== undefined) wait();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

interface FollowerOptions {
  readonly wants: (event: HyperEvent) => boolean;
  /** The last event of a reader that is too slow. */
  readonly dropped: () => HyperEvent;
}

/** One reader's queue. */
class Follower {
  readonly #options: FollowerOptions;
  readonly #waiting: HyperEvent[] = [];
  #arrived = Promise.withResolvers<void>();
  #hasEnded = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  take(event: HyperEvent): void {
    if (this.#hasEnded || !this.#options.wants(event)) return;
    const hasRoom = this.#waiting.length < MAX_WAITING;
    this.#waiting.push(hasRoom ? event : this.#options.dropped());
    if (hasRoom) this.#arrived.resolve();
    else this.end();
  }

  /** What waits is still read. */
  end(): void {
    this.#hasEnded = true;
    this.#arrived.resolve();
  }

  /** undefined: there is no more. */
  async next(): Promise<HyperEvent | undefined> {
    while (this.#waiting.length === 0 && !this.#hasEnded) {
      await this.#arrived.promise;
      this.#arrived = Promise.withResolvers();
    }
    return this.#waiting.shift();
  }
}
