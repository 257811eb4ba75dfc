import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { atStart, sharedDaemon } from './support/shared.ts';

const CALLS = Number(process.env.HOSTILE_CALLS ?? 500);
/** What is no answer within this, such as a stream that follows, is left. */
const PATIENCE_MS = 1_000;
/** They would make machines, or ask the network. */
const LEFT_OUT = /^\/(vm\/create|pod\/run|image\/(create|push|build)|images\/push|auth|container\/commit)$/;

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly string[];
}

const daemon = sharedDaemon();
let operations: Operation[];
atStart(async () => {
  const { body } = await call({ method: 'GET', path: '/openapi.json' });
  const { paths } = JSON.parse(body) as {
    paths: Record<string, Record<string, { parameters?: { name: string }[] }>>;
  };
  operations = Object.entries(paths)
    .filter(([path]) => !LEFT_OUT.test(path))
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { parameters = [] }]) => ({
        ...{ method: method.toUpperCase(), path, parameters: parameters.map(({ name }) => name) },
      })),
    );
  assert.ok(operations.length > 50);
});

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly type?: string;
}

/** Status 0: there was no answer, or none that ended in time. */
function call({ method, path, body, type }: Call): Promise<{ status: number; body: string }> {
  return new Promise((resolve) => {
    const nothing = (): void => resolve({ status: 0, body: '' });
    const sent = request({ socketPath: daemon.socket, method, path, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      const done = (): void =>
        resolve({ status: response.statusCode ?? 0, body: String(Buffer.concat(chunks)) });
      sent.off('close', nothing);
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).once('close', done);
    });
    sent.setTimeout(PATIENCE_MS, () => sent.destroy());
    sent.once('error', nothing).once('close', nothing);
    sent.once('upgrade', (_response, socket) => {
      socket.destroy();
      nothing();
    });
    if (type !== undefined) sent.setHeader('Content-Type', type);
    sent.end(body);
  });
}

const nasty = fc.oneof(
  fc.constantFrom(
    ...[
      '',
      '0',
      '-1',
      '65536',
      '1e999',
      'NaN',
      'true',
      'yes',
      '../../etc/passwd',
      '/',
      '.',
      '..',
      '\0',
      '%00',
    ],
    ...[
      '[]',
      '{}',
      '[1]',
      '{"a":{}}',
      'null',
      '"',
      '[[[[',
      '\u202e',
      '😀',
      ' ',
      '*',
      '$(reboot)',
      '__proto__',
    ],
    ...['constructor', 'busybox', 'x'.repeat(5_000)],
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
);
const anyCall = fc.record({
  index: fc.nat(),
  values: fc.array(nasty, { minLength: 12, maxLength: 12 }),
  given: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
  body: fc.oneof(fc.constant(undefined), fc.json({ maxDepth: 4 }), nasty, podLike()),
  type: fc.constantFrom(undefined, 'application/json', 'application/x-www-form-urlencoded', 'text/plain'),
});

/** Objects with the names that a specification has, and values of any kind. */
function podLike(): fc.Arbitrary<string> {
  const names = [
    'id',
    'containers',
    'image',
    'volumes',
    'files',
    'resource',
    'labels',
    'name',
    'portmappings',
  ];
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.array(fc.dictionary(fc.constantFrom(...names), fc.jsonValue())),
  );
  return fc
    .dictionary(fc.constantFrom(...names, '__proto__', 'command'), value)
    .map((json) => JSON.stringify(json));
}

test('whatever is asked, the answer says what is wrong with it: nothing fails inside, and the daemon lives', async () => {
  await fc.assert(
    fc.asyncProperty(anyCall, async ({ index, values, given, body, type }) => {
      const operation = operations[index % operations.length] ?? assert.fail();
      const query = new URLSearchParams();
      for (const [at, name] of operation.parameters.entries())
        if (given[at % given.length]) query.append(name, values[at % values.length] ?? '');
      const path = operation.path.replaceAll(/\{\w+\}/g, encodeURIComponent(values[0] || 'x'));
      const answer = await call({
        ...{ method: operation.method, path: `${path}?${query}` },
        ...(operation.method === 'GET' || body === undefined ? {} : { body }),
        ...(type === undefined ? {} : { type }),
      });
      assert.doesNotMatch(answer.body, /internal error/, `${operation.method} ${path}?${query} ${body}`);
    }),
    { numRuns: CALLS, endOnFailure: true },
  );
  assert.doesNotMatch(daemon.log(), /"msg":"request failed"/);
  assert.equal((await call({ method: 'GET', path: '/_ping' })).status, 200);
});

/** Sends bytes, and resolves with what comes back until the daemon closes, or a while later. */
function send(bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(daemon.socket);
    let text = '';
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.once('error', () => socket.destroy()).once('close', () => resolve(text));
    socket.write(bytes);
  });
}

for (const [what, bytes, answer] of [
  ['heads without an end', `GET /_ping HTTP/1.1\r\nHost: h\r\nA: ${'x'.repeat(200_000)}`, /^HTTP\/1.1 431/],
  ['lines that are no HTTP', 'HELO there\r\n\r\n', /^HTTP\/1.1 400/],
  [
    'two lengths',
    'POST /pod/create HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
    /^HTTP\/1.1 400/,
  ],
  [
    'a length and chunks',
    'POST /pod/create HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    /^HTTP\/1.1 400/,
  ],
  [
    'chunks of no size',
    'POST /pod/create HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    /400/,
  ],
] as const) {
  test(`${what} are refused, and cost their connection only`, async () => {
    assert.match(await send(bytes), answer);
    assert.equal((await call({ method: 'GET', path: '/_ping' })).status, 200);
  });
}

test('a thousand requests sent at once over one connection are answered, one after the other', async () => {
  const text = await send('GET /_ping HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(1_000));
  assert.equal(text.match(/HTTP\/1.1 200/g)?.length, 1_000);
});

test('a body that is too large is refused with a reason', async () => {
  const body = JSON.stringify({ id: 'x'.repeat(5_000_000) });
  const answer = await call({ method: 'POST', path: '/pod/create', body, type: 'application/json' });
  assert.match(answer.body, /read request body: more than \d+ bytes/);
});
