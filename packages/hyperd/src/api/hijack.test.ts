import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { HyperError } from '../errors.ts';
import { CommandError } from '../guest/index.ts';
import type { ExecId } from '../ids.ts';
import type { ClientStreams } from '../pods/pod-service.ts';
import { containerView, podView, startApi } from './fake-services.ts';

const HEAD =
  'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';
const frame = (id: number, text: string): string =>
  `${String.fromCharCode(id, 0, 0, 0, 0, 0, 0, text.length)}${text}`;

/** Answers with what it read once input has ended. */
async function echo({ input, write }: ClientStreams): Promise<void> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of input) chunks.push(chunk);
  await write('stdout', Buffer.from(`got ${Buffer.concat(chunks)}`));
  await write('stderr', Buffer.from('bye'));
}

const upgrade = 'Connection: Upgrade\r\nUpgrade: tcp\r\n';
const requests: readonly (readonly [string, string])[] = [
  ['upgrade headers', `${upgrade}Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n`],
  ['no upgrade headers', '\r\n'],
  [
    'upgrade headers and a body',
    `${upgrade}Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"Tty":false}`,
  ],
  [
    'a body and no upgrade headers',
    `Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{"Tty":false}`,
  ],
  ['upgrade headers and a chunked body', `${upgrade}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`],
  ['keep-alive', 'Connection: keep-alive\r\n\r\n'],
];
for (const prefix of ['', '/v1.17']) {
  for (const [what, rest] of requests) {
    test(`a request to ${prefix}/attach with ${what}: input that follows at once arrives, half-close ends it`, async () => {
      await using api = await startApi({
        pods: { container: () => containerView(), attach: (_, client) => echo(client) },
      });
      const connection = api.connect();
      connection.end(`POST ${prefix}/attach?container=web HTTP/1.1\r\nHost: h\r\n${rest}hello`);
      const received: Buffer[] = [];
      connection.on('data', (chunk: Buffer) => received.push(chunk));
      await once(connection, 'close');
      assert.equal(
        Buffer.concat(received).toString('latin1'),
        `${HEAD}${frame(1, 'got hello')}${frame(2, 'bye')}`,
      );
    });
  }
}

test('a head that arrives byte by byte is one request', async () => {
  await using api = await startApi({
    pods: { container: () => containerView(), attach: (_, client) => echo(client) },
  });
  const connection = api.connect();
  connection.setNoDelay(true);
  for (const byte of 'POST /attach?container=web HTTP/1.1\r\nHost: h\r\n\r\nhi') {
    connection.write(byte);
    await new Promise(setImmediate);
  }
  connection.end();
  const received: Buffer[] = [];
  connection.on('data', (chunk: Buffer) => received.push(chunk));
  await once(connection, 'close');
  assert.match(Buffer.concat(received).toString('latin1'), /got hi/);
});

test('a terminal gets raw bytes, and Ctrl-P Ctrl-Q in one read end the session only', async () => {
  let rest: string | undefined;
  await using api = await startApi({
    pods: {
      container: () => containerView({ tty: true }),
      attach: async (_, { input, write, signal }) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of input) chunks.push(chunk);
        rest = Buffer.concat(chunks).toString();
        await write('stdout', Buffer.from('raw'));
        assert.ok(signal.aborted);
      },
    },
  });
  const answer = await api.exchange('POST /attach?container=web HTTP/1.1\r\nHost: h\r\n\r\nls\n\x10\x11more');
  assert.equal(answer, `${HEAD}raw`);
  assert.equal(rest, 'ls\n');
});

test('the connection is closed when the process has ended, though the client goes on sending', async () => {
  await using api = await startApi({
    pods: {
      container: () => containerView(),
      attach: async (_, { write }) => write('stdout', Buffer.from('x')),
    },
  });
  const connection = api.connect();
  connection.on('error', () => undefined); // its last bytes may come too late
  connection.write('POST /attach?container=web HTTP/1.1\r\nHost: h\r\n\r\n');
  connection.write('x'.repeat(1_000_000));
  connection.resume();
  await once(connection, 'end');
  connection.destroy();
});

test('a reader that is slow gets all of the output, and holds the writer', async () => {
  const total = 3_000_000;
  let written = 0;
  await using api = await startApi({
    pods: {
      execHasTty: () => true,
      container: () => containerView(),
      startExec: async (_container, _exec, { write }) => {
        for (; written < total; written += 10_000) await write('stdout', Buffer.alloc(10_000, 'x'));
      },
    },
  });
  const connection = api.connect();
  connection.write('POST /exec/start?container=web&exec=exec-1 HTTP/1.1\r\nHost: h\r\n\r\n');
  connection.once('readable', () => undefined);
  await once(connection, 'readable');
  let before = -1;
  while (written !== before) {
    before = written;
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  }
  assert.ok(written < total, 'nobody reads, so the writer must wait');
  let received = 0;
  connection.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  await once(connection, 'end');
  connection.end();
  assert.equal(received, total + HEAD.length);
});

test('a client that goes aborts the session', async () => {
  const aborted = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  await using api = await startApi({
    pods: {
      container: () => containerView(),
      attach: async (_, { signal, write }) => {
        signal.addEventListener('abort', () => aborted.resolve());
        started.resolve();
        while (!signal.aborted) {
          await write('stdout', Buffer.from('x')).catch(() => undefined);
          await new Promise(setImmediate);
        }
      },
    },
  });
  const connection = api.connect();
  connection.write('POST /attach?container=web HTTP/1.1\r\nHost: h\r\n\r\n');
  await started.promise;
  connection.destroy();
  await aborted.promise;
});

test('a client that goes aborts a session that is silent, though its end looks like a half-close', async () => {
  const aborted = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  await using api = await startApi({
    pods: {
      container: () => containerView(),
      attach: async (_, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve());
        started.resolve();
        await aborted.promise;
      },
    },
  });
  const connection = api.connect();
  connection.write('POST /attach?container=web HTTP/1.1\r\nHost: h\r\n\r\ninput that nobody reads');
  await started.promise;
  connection.destroy();
  await aborted.promise;
});

const unknown = (): never => {
  throw new HyperError('not-found', 'cannot find container nope');
};

test('an unknown container: 101, then the text as a frame of stderr', async () => {
  await using api = await startApi({ pods: { container: unknown } });
  const answer = await api.exchange(`POST /attach?container=nope HTTP/1.1\r\nHost: h\r\n${upgrade}\r\n`);
  assert.equal(answer, `${HEAD}${frame(2, 'cannot find container nope\n')}`);
});

test('an unknown pod on /execvm: the text comes unframed', async () => {
  await using api = await startApi({ pods: { pod: unknown } });
  const answer = await api.exchange('POST /execvm?pod=nope&command=ls HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.equal(answer, `${HEAD}cannot find container nope\n`);
});

test('a client that accepts JSON gets a status instead of 101', async () => {
  await using api = await startApi({ pods: { container: unknown } });
  const answer = await api.exchange(
    `POST /attach?container=nope HTTP/1.1\r\nHost: h\r\n${upgrade}Accept: application/json\r\n\r\n`,
  );
  assert.match(answer, /^HTTP\/1.1 404 /);
  assert.match(answer, /\{"message":"cannot find container nope","code":"not-found"\}\n$/);
});

test('a session that fails later ends with the reason on the stream', async () => {
  await using api = await startApi({
    pods: {
      execHasTty: () => false,
      container: () => containerView(),
      startExec: async () => {
        throw new HyperError('machine', 'start exec: the machine is gone');
      },
    },
  });
  const answer = await api.exchange('POST /exec/start?container=web&exec=e HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.equal(answer, `${HEAD}${frame(2, 'start exec: the machine is gone\n')}`);
});

test('an exec that comes with its command is created, started, and named by ids', async () => {
  const created: unknown[] = [];
  await using api = await startApi({
    pods: {
      container: () => containerView(),
      createExec: (container, options) => {
        created.push(container, options);
        return 'exec-abc' as ExecId;
      },
      execHasTty: () => false,
      startExec: (container, exec, { write }) => write('stdout', Buffer.from(`${container} ${exec}`)),
    },
  });
  const { id } = containerView();
  const answer = await api.exchange(
    'POST /exec/start?container=web&command=["a","b"] HTTP/1.1\r\nHost: h\r\n\r\n',
  );
  assert.match(answer, new RegExp(`\r\nHyper-Container-Id: ${id}\r\nHyper-Exec-Id: exec-abc\r\n\r\n`));
  assert.ok(answer.endsWith(frame(1, `${id} exec-abc`)));
  assert.deepEqual(created, [id, { command: ['a', 'b'], tty: false }]);
});

test('an exec whose container does not run is told by a status before anything starts', async () => {
  await using api = await startApi({
    pods: { execHasTty: () => false, container: () => containerView({ state: { phase: 'pending' } }) },
  });
  const answer = await api.exchange(
    'POST /exec/start?container=web&exec=e HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n',
  );
  assert.match(answer, /^HTTP\/1.1 412 /);
});

test('an exec whose command cannot be run has the exit code of a shell', async () => {
  await using api = await startApi({
    pods: {
      waitExec: async () => {
        throw new CommandError(127, 'exec: "x": executable file not found in $PATH');
      },
    },
  });
  const answer = await api.exchange(
    'GET /exitcode?container=web&exec=e HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
  );
  assert.match(answer, /^HTTP\/1.1 200 .*\r\n\r\n127\n$/s);
});

test('/execvm names its exec, whose exit code can be asked for', async () => {
  await using api = await startApi({
    pods: { pod: () => podView(), execInMachine: async () => 7 },
  });
  const answer = await api.exchange('POST /execvm?pod=web&command=["ls"] HTTP/1.1\r\nHost: h\r\n\r\n');
  const [, id] = /^Hyper-Exec-Id: (exec-\w+)\r$/m.exec(answer) ?? [];
  const code = await api.exchange(
    `GET /exitcode?pod=web&exec=${id} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`,
  );
  assert.match(code, /\r\n\r\n7\n$/);
});

test('closing the server ends sessions and silent connections', async () => {
  const api = await startApi({
    pods: {
      container: () => containerView(),
      attach: (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    },
  });
  const silent = api.connect();
  silent.once('end', () => silent.end());
  const session = api.connect();
  session.write('POST /attach?container=web HTTP/1.1\r\nHost: h\r\n\r\n');
  await once(session, 'readable');
  session.resume();
  session.once('end', () => session.end());
  silent.resume();
  const ended = Promise.all([once(session, 'close'), once(silent, 'close')]);
  await api[Symbol.asyncDispose]();
  await ended;
});
