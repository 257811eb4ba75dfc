import { readJsonLines } from './json-lines.ts';
import type { Transport } from './transport.ts';

/** One thing that has happened; docs/api.md tells types and actions. */
export interface HyperEvent {
  /** Seconds since the epoch. */
  readonly time: number;
  /** Nanoseconds since the epoch; no two events have the same. */
  readonly timeNano: number;
  readonly type: 'pod' | 'container' | 'image' | 'machine' | 'daemon';
  readonly action: string;
  readonly id: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface EventOptions {
  /** Begin with what the daemon still knows from then on; without it only what is to come is told. */
  readonly since?: Date;
  /** Ends the stream; in the past: only what is known. */
  readonly until?: Date;
  /** Values of one list are alternatives, but for labels, which all have to be there. */
  readonly filters?: Readonly<
    Partial<Record<'type' | 'event' | 'pod' | 'container' | 'image' | 'label', readonly string[]>>
  >;
  readonly signal?: AbortSignal | undefined;
}

/** The daemon has dropped this reader of events: it read too slowly, and has missed some. */
export class EventsDroppedError extends Error {
  constructor(reason: string) {
    super(`follow events: ${reason}`);
    this.name = 'EventsDroppedError';
  }
}

export async function* readEvents(http: Transport, options: EventOptions): AsyncGenerator<HyperEvent> {
  const { since, until, filters, signal } = options;
  const query = {
    ...(since ? { since: unixTime(since) } : {}),
    ...(until ? { until: unixTime(until) } : {}),
    ...(filters ? { filters: JSON.stringify(filters) } : {}),
  };
  const response = await http.send('GET', '/events', { query, signal });
  for await (const line of readJsonLines(response)) {
    const event = line as HyperEvent | (Omit<HyperEvent, 'type'> & { readonly type: 'events' });
    if (event.type === 'events') throw new EventsDroppedError(event.attributes.reason ?? '');
    yield event;
  }
}

function unixTime(time: Date): string {
  return (time.getTime() / 1000).toFixed(3);
}
