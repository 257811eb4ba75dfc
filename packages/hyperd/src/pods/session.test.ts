import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { setImmediate as tick } from 'node:timers/promises';
import { isHyperError } from '../errors.ts';
import type { GuestProcess, OutputStream } from '../guest/index.ts';
import type { ClientStreams } from './pod-service.ts';
import { Session } from './session.ts';

/** Stands in for the guest's end: notes what is acknowledged and typed. */
function guestProcess() {
  const acknowledged = { stdout: 0, stderr: 0 };
  const typed: string[] = [];
  const process: GuestProcess = {
    id: 1,
    exited: new Promise(() => undefined),
    acknowledge: (stream, offset) => {
      acknowledged[stream] = offset;
    },
    writeStdin: async (chunk) => {
      typed.push(Buffer.from(chunk).toString());
    },
    endStdin: () => typed.push('<end>'),
    signal: async () => undefined,
    resize: async () => undefined,
    release: async () => undefined,
  };
  return { process, acknowledged, typed };
}

function client(input: AsyncIterable<Uint8Array> = never()) {
  const taken: string[] = [];
  const abort = new AbortController();
  let gate: Promise<void> = Promise.resolve();
  const streams: ClientStreams = {
    input,
    signal: abort.signal,
    write: async (stream: OutputStream, chunk) => {
      await gate;
      taken.push(`${stream}:${Buffer.from(chunk)}`);
    },
  };
  return {
    streams,
    taken,
    abort,
    block(): () => void {
      const blocked = Promise.withResolvers<void>();
      gate = blocked.promise;
      return blocked.resolve;
    },
  };
}

async function* never(): AsyncGenerator<Uint8Array> {
  await new Promise(() => undefined);
  yield new Uint8Array();
}

test('a client that does not read holds back what is acknowledged, and another is served', async () => {
  const { process, acknowledged } = guestProcess();
  const session = new Session({ tty: false });
  const slow = client();
  const quick = client();
  const release = slow.block();
  const done = session.attach(slow.streams);
  void session.attach(quick.streams);
  session.bind(process);
  session.data('stdout', Buffer.from('abc'), 3);
  await tick();
  assert.deepEqual(quick.taken, ['stdout:abc']);
  assert.equal(acknowledged.stdout, 0);
  release();
  await tick();
  assert.equal(acknowledged.stdout, 3);
  session.end('stdout');
  session.end('stderr');
  await done;
});

test('output is acknowledged only once the log has it on disk', async () => {
  const { process, acknowledged } = guestProcess();
  const appended: [string, number][] = [];
  const session = new Session({ tty: false });
  session.keepIn(
    { append: (stream, _, end) => appended.push([stream, end]), finish: () => undefined },
    { stdout: 100, stderr: 7 },
    { stdout: 20, stderr: 0 },
  );
  session.bind(process);
  session.data('stdout', Buffer.from('hello'), 25);
  assert.deepEqual(appended, [['stdout', 125]]);
  assert.equal(acknowledged.stdout, 20);
  session.durable('stdout', 125);
  assert.equal(acknowledged.stdout, 25);
});

test('a client that goes frees what it held back, and the process goes on', async () => {
  const { process, acknowledged } = guestProcess();
  const session = new Session({ tty: false });
  const gone = client();
  gone.block();
  const attached = session.attach(gone.streams);
  session.bind(process);
  session.data('stderr', Buffer.from('x'), 1);
  gone.abort.abort();
  await attached;
  assert.equal(acknowledged.stderr, 1);
  assert.equal(session.hasEnded, false);
});

for (const tty of [false, true]) {
  test(`the end of a client's input ${tty ? 'leaves a terminal open' : 'ends stdin'}`, async () => {
    const { process, typed } = guestProcess();
    const session = new Session({ tty });
    async function* input() {
      yield Buffer.from('typed before the start');
    }
    void session.attach(client(input()).streams);
    await tick();
    session.bind(process);
    await tick();
    assert.deepEqual(typed, tty ? ['typed before the start'] : ['typed before the start', '<end>']);
  });
}

test('a terminal has one stream: its end is the end of the output', async () => {
  const session = new Session({ tty: true });
  session.end('stdout');
  await session.outputEnded;
  assert.equal(session.hasEnded, true);
});

test('a lost process ends the sessions of all clients after what was received', async () => {
  const { process } = guestProcess();
  const session = new Session({ tty: false });
  const watcher = client();
  const attached = session.attach(watcher.streams);
  session.bind(process);
  session.data('stdout', Buffer.from('last words'), 10);
  session.abandon('machine died');
  await attached;
  assert.deepEqual(watcher.taken, ['stdout:last words']);
});

test('a client that takes nothing is put off once another has waited long enough; alone it holds the process as long as it likes', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { process, acknowledged, typed } = guestProcess();
    const session = new Session({ tty: false });
    const inputEnds = Promise.withResolvers<void>();
    const stuck = client(
      (async function* () {
        await inputEnds.promise;
        yield* [];
      })(),
    );
    stuck.block();
    const left = session.attach(stuck.streams);
    session.bind(process);
    session.data('stdout', Buffer.from('abc'), 3);
    for (let i = 0; i < 100; i++) {
      mock.timers.tick(30_000);
      await tick();
    }
    assert.equal(acknowledged.stdout, 0, 'it is alone');
    const quick = client();
    const done = session.attach(quick.streams);
    mock.timers.tick(30_000);
    await assert.rejects(
      left,
      (error) => isHyperError(error, 'timeout') && /has taken no output for 30 s/.test(error.message),
    );
    assert.equal(acknowledged.stdout, 3);
    inputEnds.resolve();
    await tick();
    assert.deepEqual(typed, [], 'the end of its input is not that of the process');
    session.data('stdout', Buffer.from('def'), 6);
    await tick();
    session.end('stdout');
    session.end('stderr');
    await done;
    assert.deepEqual(quick.taken, ['stdout:def']);
  } finally {
    mock.timers.reset();
  }
});

test('a client that leaves what an ended process has left is let go of in the end', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { process } = guestProcess();
    const session = new Session({ tty: false });
    const stuck = client();
    stuck.block();
    const left = session.attach(stuck.streams);
    session.bind(process);
    session.data('stdout', Buffer.from('abc'), 3);
    session.drain();
    session.end('stdout');
    session.end('stderr');
    mock.timers.tick(600_000);
    await assert.rejects(left, /has taken no output for 600 s/);
  } finally {
    mock.timers.reset();
  }
});
