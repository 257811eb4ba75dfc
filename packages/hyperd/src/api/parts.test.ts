import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isHyperError } from '../errors.ts';
import { clientVersion, isBelow, splitVersion } from './api-version.ts';
import { cleanUrl } from './clean-url.ts';
import { untilDetachKeys } from './detach-keys.ts';
import { Parameters } from './parameters.ts';
import { ProgressQueue } from './progress-queue.ts';
import { registryAuth } from './registry-auth.ts';
import { stdcopyFrame } from './stdcopy.ts';

for (const [value, expected] of [
  ['', false],
  ['0', false],
  ['no', false],
  [' NO ', false],
  ['False', false],
  ['none', false],
  ['1', true],
  ['yes', true],
  ['true', true],
  ['on', true],
  ['100', true],
  ['x', true],
] as const) {
  test(`flag "${value}" is ${expected}`, () => {
    assert.equal(new Parameters(`f=${encodeURIComponent(value)}`).flag('f'), expected);
  });
}

test('parameters: a name that the route does not describe cannot be read, so that its document is whole', () => {
  const parameters = new Parameters('known=1&other=2', '', {}, new Set(['known']));
  assert.equal(parameters.text('known'), '1');
  assert.throws(
    () => parameters.text('other'),
    (error) => isHyperError(error, 'internal'),
  );
  assert.throws(
    () => parameters.all('other'),
    (error) => isHyperError(error, 'internal'),
  );
});

for (const [agent, version] of [
  ['Hyper-Client/0.6.2', [0, 6, 2]],
  ['Hyper-Client/1.1.0 more', [1, 1, 0]],
  ['curl/8', undefined],
  [undefined, undefined],
] as const) {
  test(`clientVersion() of "${agent}" is ${version}`, () => {
    assert.deepEqual(clientVersion(agent === undefined ? {} : { 'user-agent': agent }), version);
  });
}

for (const [url, cleaned] of [
  ['/list', '/list'],
  ['/list/', '/list/'],
  ['/', '/'],
  ['//', '/'],
  ['/a//b/./c/../d?x=//&y=..', '/a/b/d?x=//&y=..'],
  ['/../a', '/a'],
  ['*', '*'],
  ['http://h//a', 'http://h//a'],
] as const) {
  test(`cleanUrl() makes ${url} to ${cleaned}`, () => assert.equal(cleanUrl(url), cleaned));
}

test('parameters: the first value of the first known spelling; the form before the query', () => {
  const parameters = new Parameters('podId=a&podId=b&h=12&w=x', 'podName=c&podId=d&plus=a+b%2B');
  assert.equal(parameters.text('podName', 'podId'), 'c');
  assert.equal(parameters.text('podId', 'podName'), 'd');
  assert.equal(parameters.text('plus'), 'a b+');
  assert.deepEqual(
    [parameters.integer('h'), parameters.integer('w'), parameters.integer('x')],
    [12, undefined, undefined],
  );
  assert.equal(parameters.flag('absent'), false);
});

for (const [url, version, rest] of [
  ['/info', undefined, '/info'],
  ['/v1.17/info?a=/v1/b', [1, 17], '/info?a=/v1/b'],
  ['/v0.5.0/list', [0, 5, 0], '/list'],
  ['/version', undefined, '/version'],
  ['/v1', undefined, '/v1'],
] as const) {
  test(`the version of ${url}`, () => assert.deepEqual(splitVersion(url), { version, url: rest }));
}

test('isBelow() compares number by number', () => {
  assert.ok(isBelow([0, 7, 9], [0, 8]));
  assert.ok(!isBelow([0, 10], [0, 8]));
  assert.ok(!isBelow([1], [0, 8]));
  assert.ok(!isBelow(undefined, [0, 8]));
});

test('stdcopyFrame() has the stream, the length in big-endian, the payload', () => {
  const frame = stdcopyFrame('stderr', Buffer.alloc(258, 'x'));
  assert.deepEqual([...frame.subarray(0, 9)], [2, 0, 0, 0, 0, 0, 1, 2, 120]);
  assert.equal(frame.length, 266);
});

async function typed(chunks: readonly Uint8Array[]): Promise<{ passed: Buffer; detached: boolean }> {
  let detached = false;
  async function* input() {
    yield* chunks;
  }
  const passed: Uint8Array[] = [];
  for await (const chunk of untilDetachKeys(input(), () => (detached = true))) passed.push(chunk);
  return { passed: Buffer.concat(passed), detached };
}

test('untilDetachKeys() passes everything before the first Ctrl-P Ctrl-Q, however it is divided', async () => {
  const byte = fc.constantFrom(0x10, 0x11, 0x61);
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc
          .uint8Array({ maxLength: 4 })
          .chain((a) => fc.tuple(...[...a].map(() => byte)).map((b) => Uint8Array.from(b))),
      ),
      async (chunks) => {
        const whole = Buffer.concat(chunks);
        const keys = whole.indexOf(Buffer.of(0x10, 0x11));
        const { passed, detached } = await typed(chunks);
        assert.equal(detached, keys >= 0);
        assert.deepEqual(passed, keys >= 0 ? whole.subarray(0, keys) : whole);
      },
    ),
  );
});

const auth = (value: object, encoding: 'base64' | 'base64url'): string =>
  Buffer.from(JSON.stringify(value)).toString(encoding);

test('registryAuth() reads both alphabets of base64, `auth` pairs, and takes what it cannot read for anonymous', () => {
  const credentials = { username: 'u', password: 'p?>~', serveraddress: 's' };
  const expected = { username: 'u', password: 'p?>~', serverAddress: 's' };
  assert.deepEqual(registryAuth(auth(credentials, 'base64')), expected);
  assert.deepEqual(registryAuth(auth(credentials, 'base64url')), expected);
  assert.deepEqual(registryAuth(auth({ auth: Buffer.from('u:p:q').toString('base64') }, 'base64')), {
    username: 'u',
    password: 'p:q',
  });
  assert.deepEqual(registryAuth(auth({ identitytoken: 't' }, 'base64url')), { identityToken: 't' });
  for (const header of [undefined, '', '!!!', 'bm8gSlNPTg==', auth({}, 'base64'), auth([], 'base64')]) {
    assert.equal(registryAuth(header), undefined);
  }
});

test('ProgressQueue keeps the latest figures of each layer for a slow client, and every change of status', async () => {
  const written: string[] = [];
  const gate = Promise.withResolvers<void>();
  const queue = new ProgressQueue(async ({ id, status, progressDetail }) => {
    await gate.promise;
    written.push(`${id} ${status} ${progressDetail?.current ?? ''}`.trim());
  });
  queue.push({ id: 'a', status: 'Pulling fs layer' });
  for (let current = 1; current <= 1000; current++) {
    queue.push({ id: 'a', status: 'Downloading', progressDetail: { current } });
    queue.push({ id: 'b', status: 'Downloading', progressDetail: { current } });
  }
  queue.push({ id: 'a', status: 'Pull complete' });
  gate.resolve();
  await queue.flushed();
  assert.deepEqual(written, [
    'a Pulling fs layer',
    'a Downloading 1000',
    'b Downloading 1000',
    'a Pull complete',
  ]);
});

test('ProgressQueue drops what is left when the client has gone', async () => {
  const queue = new ProgressQueue(async () => {
    throw new Error('gone');
  });
  queue.push({ status: 'one' });
  queue.push({ status: 'two' });
  await queue.flushed();
});
