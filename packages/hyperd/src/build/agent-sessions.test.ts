import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { GuestConnection } from '../guest/index.ts';
import { type AgentSession, AgentSessions } from './agent-sessions.ts';

/** One end of a connection: it says `words` and then waits for its end; what it is told is kept. */
class End {
  readonly told: string[] = [];
  readonly #ending = new AbortController();
  readonly #words: string;

  constructor(words = '') {
    this.#words = words;
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  get input(): AsyncGenerator<Buffer> {
    return this.#input();
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.told.push(Buffer.from(bytes).toString());
  }

  end(): void {
    this.#ending.abort();
  }

  async *#input(): AsyncGenerator<Buffer> {
    if (this.#words) yield Buffer.from(this.#words);
    await new Promise((resolve) => this.signal.addEventListener('abort', resolve, { once: true }));
  }
}

/** Sessions of one build and one agent. */
function opened(): {
  serve(connection: GuestConnection): Promise<void>;
  offer(session: AgentSession): Promise<void>;
} & Disposable {
  const sessions = new AgentSessions();
  const build = sessions.begin('b');
  return {
    serve: (connection) => sessions.serve('b', 'a', connection),
    offer: (session) => sessions.offer('b', 'a', session),
    [Symbol.dispose]: () => build[Symbol.dispose](),
  };
}

for (const [order, isOfferedFirst] of [
  ['a session that waits for a connection', true],
  ['a connection that waits for a session', false],
] as const) {
  test(`${order} gets it, and both hear each other until one ends`, async () => {
    using sessions = opened();
    const [session, connection] = [new End('key'), new End('sign')];
    const offering = isOfferedFirst ? sessions.offer(session) : undefined;
    const serving = sessions.serve(connection);
    const offered = offering ?? sessions.offer(session);
    while (session.told.length + connection.told.length < 2) await turn();
    assert.deepEqual([session.told, connection.told], [['sign'], ['key']]);
    connection.end();
    await Promise.all([serving, offered]);
  });
}

test('a connection that ends while it waits for a session waits no longer, and uses none up that comes then', async () => {
  using sessions = opened();
  const [left, stays, session] = [new End(), new End(), new End('key')];
  const serving = sessions.serve(left);
  left.end();
  const offered = sessions.offer(session);
  await assert.rejects(serving, { code: 'canceled' });
  const served = sessions.serve(stays);
  while (stays.told.length === 0) await turn();
  session.end();
  await Promise.all([served, offered]);
});

test('a connection that has ended already waits for no session, and uses none up that there is', async () => {
  using sessions = opened();
  const [left, stays, session] = [new End(), new End(), new End('key')];
  left.end();
  await assert.rejects(sessions.serve(left), { code: 'canceled' });
  const offered = sessions.offer(session);
  await assert.rejects(sessions.serve(left), { code: 'canceled' });
  const served = sessions.serve(stays);
  while (stays.told.length === 0) await turn();
  session.end();
  await Promise.all([served, offered]);
});
