import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { HyperError, isHyperError } from '../errors.ts';
import type { LogLine } from '../pods/pod-service.ts';
import type { PodSpec } from '../pods/spec/index.ts';
import { containerView, podView, send, startApi } from './fake-services.ts';
import { createApi } from './index.ts';

const json = ['Content-Type: application/json; charset=utf-8'];

test('paths answer bare and below any version, with the Server header', async () => {
  await using api = await startApi({});
  for (const path of ['/_ping', '/v1.17/_ping', '/v1.1.0/_ping', '/v9/_ping']) {
    const { status, head, body } = await send(api, `GET ${path}`);
    assert.deepEqual([status, body], [200, 'OK'], path);
    assert.match(head, /^Server: hyperd\/1\.2\.3 \(linux\)\r?$/im);
    assert.match(head, /^Content-Type: text\/plain/im);
  }
});

for (const line of [
  'GET /nope',
  'POST /_ping',
  'HEAD /info',
  'GET /_ping/',
  'GET /v1.0/v1.0/_ping',
  'GET /vx/_ping',
  'OPTIONS /info',
  'GET /',
]) {
  test(`${line} is 404 page not found`, async () => {
    await using api = await startApi({});
    const { status, head, body } = await send(api, line);
    assert.equal(status, 404);
    if (!line.startsWith('HEAD')) assert.equal(body, '404 page not found\n');
    assert.match(head, /^X-Content-Type-Options: nosniff\r?$/im);
  });
}

test('a pod is created from a JSON body, from podArgs in the query, and from a form', async () => {
  const specs: PodSpec[] = [];
  await using api = await startApi({
    pods: {
      create: async (spec) => {
        specs.push(spec);
        return spec.id as never;
      },
    },
  });
  const text = JSON.stringify({ id: 'web', containers: [{ image: 'busybox' }] });
  const form = ['Content-Type: application/x-www-form-urlencoded'];
  const replies = [
    await send(api, 'POST /v1.1.0/pod/create', json, text),
    await send(api, `POST /pod/create?podArgs=${encodeURIComponent(text)}`),
    await send(api, 'POST /pod/create', form, `podArgs=${encodeURIComponent(text)}`),
  ];
  for (const { status, head, body } of replies) {
    assert.deepEqual([status, body], [201, '{"Cause":"","Code":0,"ID":"web"}\n']);
    assert.match(head, /^Content-Type: application\/json\r?$/im);
  }
  assert.deepEqual(
    specs.map((spec) => spec.containers[0]?.image),
    ['busybox', 'busybox', 'busybox'],
  );
});

const refusedBodies: readonly (readonly [string, readonly string[], string, number, RegExp])[] = [
  [
    'another content type',
    ['Content-Type: text/plain'],
    '{}',
    500,
    /^Content-Type specified \(text\/plain\) must be 'application\/json'\n$/,
  ],
  ['no content type', [], '{}', 500, /^Content-Type specified \(\) must be/],
  ['no JSON', json, '{"id":', 500, /not JSON/],
  ['a specification that breaks a rule', json, '{"hostname":"UP"}', 500, /^Hostname should fullfil/],
  ['no body', [], '', 500, /no specification/],
  ['5 MiB', json, `{"x":"${'x'.repeat(5 * 1024 * 1024)}"}`, 400, /more than 4194304 bytes/],
];
for (const [what, headers, body, status, text] of refusedBodies) {
  test(`creating a pod with ${what} is ${status}`, async () => {
    await using api = await startApi({ pods: { create: () => assert.fail('it must not get that far') } });
    const reply = await send(api, 'POST /pod/create', headers, body);
    assert.equal(reply.status, status);
    assert.match(reply.body, text);
  });
}

test('errors are plain text, and JSON for a client that asks for it; foreign errors stay inside', async () => {
  let error: Error = new HyperError('not-found', 'Can not get Pod info with pod ID(x)');
  await using api = await startApi({
    pods: {
      pod: () => {
        throw error;
      },
    },
  });
  const plain = await send(api, 'GET /pod/info?podName=x');
  assert.deepEqual([plain.status, plain.body], [404, 'Can not get Pod info with pod ID(x)\n']);
  assert.match(plain.head, /^Content-Type: text\/plain; charset=utf-8\r?$/im);
  assert.match(plain.head, /^X-Content-Type-Options: nosniff\r?$/im);
  const asked = await send(api, 'GET /pod/info?podName=x', ['Accept: application/json']);
  assert.equal(asked.body, '{"message":"Can not get Pod info with pod ID(x)","code":"not-found"}\n');
  error = new TypeError('secret of the inside');
  const foreign = await send(api, 'GET /pod/info?podName=x');
  assert.deepEqual([foreign.status, foreign.body], [500, 'internal error\n']);
  assert.ok(api.logged.includes('request failed'));
});

test('a taken pod name is 500 on create, as the original has it, and a conflict elsewhere 409', async () => {
  const conflict = (): never => {
    throw new HyperError('conflict', 'pod name web has already in use');
  };
  await using api = await startApi({ pods: { create: conflict, renameContainer: conflict } });
  assert.equal((await send(api, 'POST /pod/create', json, '{"id":"web"}')).status, 500);
  assert.equal((await send(api, 'POST /container/rename?oldName=a&newName=bb')).status, 409);
});

test('an unknown pod is 400 on /container/create, where 404 would mean a missing image', async () => {
  await using api = await startApi({
    pods: {
      pod: () => {
        throw new HyperError('not-found', 'Can not get Pod info with pod ID(x)');
      },
    },
  });
  const reply = await send(api, 'POST /container/create?podId=x', json, '{"image":"i"}');
  assert.deepEqual([reply.status, reply.body], [400, 'The pod(x) can not be found\n']);
});

for (const [prefix, query, code] of [
  ['', '', 0],
  ['/v1.1.0', '', 0],
  ['/v0.8.0', '&stopVm=no', 0],
  ['/v0.7.0', '', 2],
  ['/v0.5.0', '', 4],
  ['/v0.5.0', '&stopVM=yes', 2],
  ['/v0.5.0', '&stopVm=yes', 2],
] as const) {
  test(`${prefix}/pod/stop${query} has Code ${code}`, async () => {
    await using api = await startApi({ pods: { stop: async () => undefined } });
    const { body } = await send(api, `POST ${prefix}/pod/stop?podId=web${query}`);
    assert.deepEqual(JSON.parse(body), { ID: 'web', Code: code, Cause: '' });
  });
}

test('/list answers 201 with item, and Item for clients up to 0.5', async () => {
  await using api = await startApi({ pods: { list: () => [podView()] }, machines: { list: () => [] } });
  const now = await send(api, 'GET /list?item=pod');
  assert.deepEqual(
    [now.status, now.body],
    [201, '{"item":"pod","podData":["web:web:vm-abcdefghij:running"]}\n'],
  );
  assert.equal(JSON.parse((await send(api, 'GET /v0.5.0/list?item=pod')).body).Item, 'pod');
});

test('signals are numbers or names; what is none is 15', async () => {
  const signals: number[] = [];
  await using api = await startApi({
    pods: { killContainer: async (_, signal) => void signals.push(signal) },
  });
  for (const signal of ['9', 'KILL', 'SIGINT', '', 'nonsense', '99']) {
    const reply = await send(api, `POST /container/kill?container=web&signal=${signal}`);
    assert.deepEqual([reply.status, reply.body], [201, '{}\n']);
  }
  assert.deepEqual(signals, [9, 9, 2, 15, 15, 15]);
});

const lines: LogLine[] = [
  { stream: 'stdout', time: '2026-01-02T03:04:05.000000006Z', bytes: Buffer.from('one\n') },
  { stream: 'stderr', time: '2026-01-02T03:04:06.000000000Z', bytes: Buffer.from('two\n') },
];

test('logs come in frames, one a line, raw with a terminal, and with time stamps', async () => {
  let tty = false;
  await using api = await startApi({
    pods: {
      container: () => containerView({ tty }),
      async *logs() {
        yield* lines;
      },
    },
  });
  const framed = await send(api, 'GET /container/logs?container=web&stdout=1&stderr=yes');
  assert.equal(framed.body, '\x01\0\0\0\0\0\0\x04one\n\x02\0\0\0\0\0\0\x04two\n');
  assert.match(framed.head, /^Content-Type: text\/plain; charset=utf-8\r?$/im);
  tty = true;
  const raw = await send(api, 'GET /container/logs?container=web&stdout=yes&timestamps=true');
  assert.equal(raw.body, '2026-01-02T03:04:05.000000006Z one\n2026-01-02T03:04:06.000000000Z two\n');
});

for (const [query, status, text] of [
  ['container=web', 400, /^Bad parameters: you must choose at least one stream\n$/],
  ['container=web&stdout=no&stderr=0', 400, /^Bad parameters/],
  ['container=web&stdout=1&since=yesterday', 400, /read since "yesterday"/],
  ['container=nope&stdout=1', 404, /^Error running logs job: cannot find container nope\n$/],
] as const) {
  test(`logs with ${query} are ${status}`, async () => {
    await using api = await startApi({
      pods: {
        logs: () => {
          throw new HyperError('not-found', 'cannot find container nope');
        },
      },
    });
    const reply = await send(api, `GET /container/logs?${query}`);
    assert.equal(reply.status, status);
    assert.match(reply.body, text);
  });
}

test('a follower that goes is not followed up: its signal is aborted', async () => {
  const aborted = Promise.withResolvers<void>();
  await using api = await startApi({
    pods: {
      container: () => containerView(),
      async *logs(_, { signal }) {
        yield lines[0] as LogLine;
        signal.addEventListener('abort', () => aborted.resolve());
        await aborted.promise;
      },
    },
  });
  const connection = api.connect();
  connection.write('GET /container/logs?container=web&stdout=1&follow=1 HTTP/1.1\r\nHost: h\r\n\r\n');
  await once(connection, 'readable');
  connection.destroy();
  await aborted.promise;
});

test('a wait whose client goes is aborted', async () => {
  const waiting = Promise.withResolvers<AbortSignal>();
  await using api = await startApi({
    pods: {
      wait: (_, signal) => {
        waiting.resolve(signal);
        return new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(new HyperError('canceled', 'canceled'))),
        );
      },
    },
  });
  const connection = api.connect();
  connection.write('GET /exitcode?container=web HTTP/1.1\r\nHost: h\r\n\r\n');
  const signal = await waiting.promise;
  connection.destroy();
  if (!signal.aborted) await once(signal, 'abort');
});

test('the socket is for owner and group only, and is removed with the server', async () => {
  const api = await startApi({});
  assert.equal(statSync(api.socket).mode & 0o777, 0o660);
  await api.close();
  assert.equal(existsSync(api.socket), false);
  await api[Symbol.asyncDispose]();
});

const silent = (): void => undefined;
const services = {
  ...{
    pods: {} as never,
    images: {} as never,
    builds: {} as never,
    volumes: {} as never,
    machines: {} as never,
    networks: {} as never,
    doctor: {} as never,
    events: {} as never,
  },
  about: { version: '1', rootDirectory: '/' },
  logger: { debug: silent, info: silent, warn: silent, error: silent },
};

test('a socket that is answered is not taken over; one that nobody answers is', async () => {
  await using first = await startApi({});
  const second = createApi(services);
  await assert.rejects(second.listen([`unix://${first.socket}`]), (error) => isHyperError(error, 'conflict'));
  assert.equal((await send(first, 'GET /_ping')).status, 200, 'the first goes on');

  const directory = mkdtempSync(join(tmpdir(), 'stale-'));
  const path = join(directory, 'stale.sock');
  const { spawnSync } = await import('node:child_process');
  spawnSync(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  assert.ok(existsSync(path), 'a killed process leaves its socket');
  const third = createApi(services);
  assert.deepEqual(
    await third.listen([`unix://${path}`, 'tcp://127.0.0.1:0']).then((urls) => urls[0]),
    `unix://${path}`,
  );
  await third.close();
  rmSync(directory, { recursive: true });
});

test('a TCP port in use is a conflict, and nothing stays open', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const api = createApi(services);
  await assert.rejects(api.listen([`tcp://127.0.0.1:${port}`]), (error) => isHyperError(error, 'conflict'));
  server.close();
});

for (const url of ['', 'unix://relative', 'http://x', 'tcp://127.0.0.1', 'tcp://127.0.0.1:99999']) {
  test(`host "${url}" is refused`, async () => {
    await assert.rejects(createApi(services).listen([url]), (error) =>
      isHyperError(error, 'invalid-argument'),
    );
  });
}
