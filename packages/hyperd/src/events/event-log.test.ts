import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HyperEvent } from './event.ts';
import { EventLog } from './event-log.ts';

const never = new AbortController().signal;

function raise(log: EventLog, ...ids: readonly (string | number)[]): void {
  for (const id of ids)
    log.raise({ type: 'pod', action: 'start', id: String(id), name: `n${id}`, attributes: {} });
}

async function read(events: AsyncIterable<HyperEvent>, most = Number.POSITIVE_INFINITY): Promise<string[]> {
  const ids: string[] = [];
  for await (const event of events) {
    ids.push(event.type === 'events' ? event.action : event.id);
    if (ids.length === most) break;
  }
  return ids;
}

const now = (): number => Date.now() * 1e6;

test('a reader gets what happens after it came, in order, each with a time of its own', async () => {
  const log = new EventLog();
  raise(log, 'before');
  const events = log.follow({ signal: never });
  raise(log, 1, 2, 3);
  const times: number[] = [];
  for await (const { id, timeNano, time } of events) {
    times.push(timeNano);
    assert.equal(time, Math.floor(timeNano / 1e9));
    if (id === '3') break;
  }
  assert.equal(times.length, 3);
  assert.deepEqual(
    times,
    [...new Set(times)].sort((a, b) => a - b),
  );
});

test('a reader gets what is known since a time, then what follows, with nothing lost or doubled between', async () => {
  const log = new EventLog();
  raise(log, 1, 2);
  const events = log.follow({ sinceNs: 0, signal: never });
  raise(log, 3);
  assert.deepEqual(await read(events, 3), ['1', '2', '3']);
  assert.deepEqual(await read(log.follow({ sinceNs: now() + 3.6e12, untilNs: 0, signal: never })), []);
});

test('a time up to which events are wanted ends the stream, whether it is past or to come', async () => {
  const log = new EventLog();
  raise(log, 1, 2);
  assert.deepEqual(await read(log.follow({ untilNs: now() + 1e6, signal: never })), ['1', '2']);
  assert.deepEqual(await read(log.follow({ sinceNs: 0, untilNs: 1, signal: never })), []);
});

test('history is bounded: the oldest events are forgotten', async () => {
  const log = new EventLog();
  raise(log, ...Array.from({ length: 2000 }, (_, i) => i));
  const ids = await read(log.follow({ sinceNs: 0, untilNs: now() + 1e7, signal: never }));
  assert.equal(ids.length, 1024);
  assert.deepEqual([ids[0], ids.at(-1)], ['976', '1999']);
});

test('a reader that does not read is dropped: it gets what waited, and a last event that says so', async () => {
  const log = new EventLog();
  const slow = log.follow({ signal: never });
  const other = log.follow({ signal: never });
  const first = read(other, 1);
  raise(log, ...Array.from({ length: 10_000 }, (_, i) => i));
  const ids = await read(slow);
  assert.equal(ids.length, 4097);
  assert.deepEqual([ids[0], ids[4095], ids[4096]], ['0', '4095', 'dropped']);
  assert.deepEqual(await first, ['0']);
});

test('only what matches waits for a reader', async () => {
  const log = new EventLog();
  const events = log.follow({ matches: ({ id }) => id === 'wanted', signal: never });
  raise(log, ...Array.from({ length: 10_000 }, (_, i) => i), 'wanted');
  assert.deepEqual(await read(events, 1), ['wanted']);
});

test('nothing is left of a reader that has gone, read to its end, or never read', async () => {
  const log = new EventLog();
  const gone = new AbortController();
  const reading = read(log.follow({ signal: gone.signal }));
  log.follow({ signal: gone.signal });
  log.follow({ signal: AbortSignal.abort() });
  await read(log.follow({ untilNs: 1, signal: never }));
  assert.equal(log.followers, 2);
  gone.abort();
  assert.deepEqual(await reading, []);
  assert.equal(log.followers, 0);
});

test('too many readers are refused', () => {
  const log = new EventLog();
  const gone = new AbortController();
  for (let i = 0; i < 512; i++) log.follow({ signal: gone.signal });
  assert.throws(() => log.follow({ signal: gone.signal }), { code: 'limit' });
  gone.abort();
  log.follow({ signal: gone.signal });
});
