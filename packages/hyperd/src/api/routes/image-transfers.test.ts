import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { HyperError } from '../../errors.ts';
import type { ImageService, ProgressListener, PullOptions } from '../../images/image-service.ts';
import { send, startApi } from '../fake-services.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const encoded = (auth: object): string => Buffer.from(JSON.stringify(auth)).toString('base64url');

function pulling(report: (onProgress: ProgressListener) => void, error?: Error) {
  const pull: ImageService['pull'] = async (_, { onProgress = () => undefined } = {}) => {
    report(onProgress);
    if (error) throw error;
    return undefined as never;
  };
  return { images: { pull } };
}

test('a pull streams its progress, a message a line with CRLF', async () => {
  await using api = await startApi(
    pulling((onProgress) => {
      onProgress({ status: 'Pulling from library/busybox', id: 'latest' });
      onProgress({ status: 'Downloading', id: 'abc', progressDetail: { current: 1, total: 100 } });
      onProgress({ aux: { Tag: 'latest', Size: 5 } });
    }),
  );
  const { status, head, body } = await send(api, 'POST /image/create?imageName=busybox:latest');
  assert.equal(status, 200);
  assert.match(head, /^Content-Type: application\/json\r?$/im);
  assert.equal(
    body,
    '{"status":"Pulling from library/busybox","id":"latest"}\r\n' +
      '{"status":"Downloading","id":"abc","progressDetail":{"current":1,"total":100},"progress":"1 B/ 100 B"}\r\n' +
      '{"aux":{"Tag":"latest","Size":5}}\r\n',
  );
});

test('a single message is not lost', async () => {
  await using api = await startApi(pulling((onProgress) => onProgress({ status: 'only' })));
  assert.equal((await send(api, 'POST /image/create?imageName=a:b')).body, '{"status":"only"}\r\n');
});

test('a pull that fails after its announcement has a status, later the error is in the stream', async () => {
  const missing = new HyperError('not-found', 'No such image: nope:latest');
  const announce = (onProgress: ProgressListener): void => onProgress({ status: 'Pulling' });
  for (const report of [() => undefined, announce]) {
    await using api = await startApi(pulling(report, missing));
    const reply = await send(api, 'POST /image/create?imageName=nope:latest');
    assert.deepEqual([reply.status, reply.body], [404, 'No such image: nope:latest\n']);
  }
  const report = (onProgress: ProgressListener): void => {
    announce(onProgress);
    onProgress({ status: 'more' });
  };
  await using late = await startApi(pulling(report, missing));
  const reply = await send(late, 'POST /image/create?imageName=nope:latest');
  assert.deepEqual(
    [reply.status, reply.body],
    [
      200,
      '{"status":"Pulling"}\r\n{"status":"more"}\r\n{"error":"No such image: nope:latest","errorDetail":{"code":404,"message":"No such image: nope:latest"}}\r\n',
    ],
  );
});

for (const [query, call, reference] of [
  ['imageName=busybox', 'pullAll', 'busybox'],
  ['imageName=localhost:5000/busybox', 'pullAll', 'localhost:5000/busybox'],
  ['imageName=busybox&tag=1.36', 'pull', 'busybox:1.36'],
  ['imageName=busybox:1&tag=2', 'pull', 'busybox:2'],
  ['imageName=localhost:5000/a/b:1', 'pull', 'localhost:5000/a/b:1'],
  [`imageName=busybox&tag=${DIGEST}`, 'pull', `busybox@${DIGEST}`],
  [`imageName=busybox@${DIGEST}`, 'pull', `busybox@${DIGEST}`],
] as const) {
  test(`pulling ${query} is ${call} of ${reference}`, async () => {
    const calls: unknown[][] = [];
    const note =
      (name: string) =>
      async (text: string, { auth, platform }: PullOptions = {}): Promise<never> => {
        calls.push([name, text, auth, platform]);
        return undefined as never;
      };
    await using api = await startApi({ images: { pull: note('pull'), pullAll: note('pullAll') } });
    const headers = [`X-Registry-Auth: ${encoded({ username: 'u', password: 'p' })}`];
    const { status } = await send(api, `POST /image/create?${query}&platform=linux/arm64`, headers);
    assert.equal(status, 200);
    assert.deepEqual(calls, [[call, reference, { username: 'u', password: 'p' }, 'linux/arm64']]);
  });
}

test('a pull whose client goes is canceled', async () => {
  const waiting = Promise.withResolvers<AbortSignal>();
  await using api = await startApi({
    images: {
      pull: (_, { signal } = {}) => {
        waiting.resolve(signal as AbortSignal);
        return new Promise((_resolve, reject) =>
          signal?.addEventListener('abort', () => reject(new HyperError('canceled', 'canceled'))),
        );
      },
    },
  });
  const connection = api.connect();
  connection.write('POST /image/create?imageName=a:b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n');
  const signal = await waiting.promise;
  connection.destroy();
  if (!signal.aborted) await once(signal, 'abort');
});

async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test('an import takes the body, its name, message and changes', async () => {
  await using api = await startApi({
    images: {
      import: async (layer, { onProgress, signal, ...options } = {}) => {
        const content = await textOf(layer);
        assert.deepEqual(
          [content, options],
          ['tar', { reference: 'a/b:c', message: 'made', changes: ['CMD sh', 'ENV A=b,c'] }],
        );
        onProgress?.({ status: DIGEST });
        return DIGEST as never;
      },
    },
  });
  const query = 'fromSrc=-&repo=a/b&tag=c&message=made&changes=CMD+sh&changes=ENV+A%3Db,c';
  const { status, body } = await send(api, `POST /image/create?${query}`, [], 'tar');
  assert.deepEqual([status, body], [200, `{"status":"${DIGEST}"}\r\n`]);
});

for (const [source, url] of [
  ['https://h/x.tar', 'https://h/x.tar'],
  ['h.example/x.tar', 'http://h.example/x.tar'],
] as const) {
  test(`an import from ${source} is from ${url}`, async () => {
    const urls: string[] = [];
    await using api = await startApi({
      images: {
        importUrl: async (text, { reference } = {}) => {
          urls.push(text);
          assert.equal(reference, undefined);
          return DIGEST as never;
        },
      },
    });
    assert.equal((await send(api, `POST /image/create?fromSrc=${encodeURIComponent(source)}`)).status, 200);
    assert.deepEqual(urls, [url]);
  });
}

test('creating an image from nothing is 400', async () => {
  await using api = await startApi({});
  const { status, body } = await send(api, 'POST /image/create');
  assert.equal(status, 400);
  assert.match(body, /"imageName" to pull, or "fromSrc" to import/);
});

const LOGIN = { username: 'u', password: 'p' };
for (const [what, path, headers, body, auth] of [
  ['the header', '/image/push', [`X-Registry-Auth: ${encoded(LOGIN)}`], '', LOGIN],
  ['the body', '/images/push', [], JSON.stringify(LOGIN), LOGIN],
  ['neither', '/image/push', [], '', undefined],
  ['a header of nobody', '/image/push', [`X-Registry-Auth: ${encoded({})}`], 'not read', undefined],
] as const) {
  test(`a push to ${path} takes credentials from ${what}`, async () => {
    const pushed: unknown[][] = [];
    await using api = await startApi({
      images: {
        push: async (name, options) => {
          pushed.push([name, options?.auth]);
          return DIGEST as never;
        },
      },
    });
    const { status } = await send(api, `POST ${path}?remote=localhost:5000/a&tag=1`, headers, body);
    assert.equal(status, 200);
    assert.deepEqual(pushed, [['localhost:5000/a:1', auth]]);
  });
}

for (const body of ['{"username":', '"text"', 'no JSON']) {
  test(`a push with the body ${body} and no header is 400`, async () => {
    await using api = await startApi({ images: { push: () => assert.fail('it must not get that far') } });
    const reply = await send(api, 'POST /image/push?remote=a', [], body);
    assert.equal(reply.status, 400);
    assert.match(reply.body, /^Bad parameters and missing X-Registry-Auth: /);
  });
}

test('a push that is refused is 401', async () => {
  const push: ImageService['push'] = async (_, { onProgress } = {}) => {
    onProgress?.({ status: 'The push refers to repository [x]' });
    throw new HyperError('unauthorized', 'push x: authentication required');
  };
  await using api = await startApi({ images: { push } });
  assert.equal((await send(api, 'POST /image/push?remote=a')).status, 401);
});

for (const [query, name, refs] of [
  ['', undefined, undefined],
  ['?name=a:b', 'a:b', undefined],
  [`?refs=${encodeURIComponent('{"a":"b:c"}')}`, undefined, { a: 'b:c' }],
  ['?name=&refs=%7B%7D', undefined, undefined],
] as const) {
  test(`an archive to load is streamed, whatever its size, with ${query || 'no names'}`, async () => {
    let sizeBytes = 0;
    await using api = await startApi({
      images: {
        load: async (archive, options) => {
          assert.deepEqual([options?.name, options?.refs], [name, refs]);
          for await (const chunk of archive) sizeBytes += (chunk as Buffer).length;
          return [];
        },
      },
    });
    const body = 'x'.repeat(6 * 1024 * 1024);
    const reply = await send(api, `POST /image/load${query}`, ['Content-Type: application/x-tar'], body);
    assert.deepEqual([reply.status, reply.body, sizeBytes], [200, '', body.length]);
  });
}

for (const [query, status, text] of [
  [`name=a&refs=${encodeURIComponent('{"a":"b"}')}`, 500, /^cannot load with either name and refs\n$/],
  ['refs=nonsense', 400, /^read refs "nonsense": want a JSON object/],
  ['refs=[]', 400, /want a JSON object/],
  [`refs=${encodeURIComponent('{"a":1}')}`, 400, /the value of "a" is no text/],
] as const) {
  test(`loading with ${query} is ${status}`, async () => {
    await using api = await startApi({});
    const reply = await send(api, `POST /image/load?${query}`, [], 'tar');
    assert.equal(reply.status, status);
    assert.match(reply.body, text);
  });
}

test('a load that fails at the beginning is answered, although the client is still sending', async () => {
  await using api = await startApi({
    images: {
      load: async (archive) => {
        for await (const _ of archive) throw new HyperError('corrupt', 'load image: this is no tar');
        return [];
      },
    },
  });
  const body = 'x'.repeat(20 * 1024 * 1024);
  const reply = await send(api, 'POST /image/load', ['Content-Type: application/x-tar'], body);
  assert.deepEqual([reply.status, reply.body], [500, 'load image: this is no tar\n']);
});

test('a load whose client goes is canceled, and its archive ends in an error', async () => {
  const started = Promise.withResolvers<void>();
  const failed = Promise.withResolvers<unknown>();
  await using api = await startApi({
    images: {
      load: async (archive) => {
        try {
          for await (const _ of archive) started.resolve();
          failed.resolve(undefined);
        } catch (error) {
          failed.resolve(error);
        }
        return [];
      },
    },
  });
  const connection = api.connect();
  connection.write('POST /image/load HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf');
  await started.promise;
  connection.destroy();
  assert.match(String(await failed.promise), /the client has gone/);
});

for (const [query, format, refs] of [
  ['names=a:1&names=b', 'docker', undefined],
  ['names=a:1&names=b&format=oci', 'oci', undefined],
  ['names=a:1&names=b&format=v2', 'docker', undefined],
  [`names=a:1&names=b&format=oci&refs=${encodeURIComponent('{"a:1":"x"}')}`, 'oci', { 'a:1': 'x' }],
] as const) {
  test(`saving ${query} is a tar stream`, async () => {
    await using api = await startApi({
      images: {
        save: async (names, options) => {
          assert.deepEqual([names, options.format, options.refs], [['a:1', 'b'], format, refs]);
          return Readable.from([Buffer.from('one'), Buffer.from('two')]);
        },
      },
    });
    const { status, head, body } = await send(api, `GET /images/save?${query}`);
    assert.deepEqual([status, body], [200, 'onetwo']);
    assert.match(head, /^Content-Type: application\/x-tar\r?$/im);
  });
}

test('saving what is not there has a status; what fails in between does not look complete', async () => {
  const missing = async (): Promise<never> => {
    throw new HyperError('not-found', 'No such image: nope:latest');
  };
  await using early = await startApi({ images: { save: missing } });
  assert.equal((await send(early, 'GET /images/save?names=nope')).status, 404);
  async function* half() {
    yield Buffer.from('half');
    await new Promise(setImmediate);
    throw new HyperError('corrupt', 'damaged');
  }
  await using late = await startApi({ images: { save: async () => Readable.from(half()) } });
  const text = await late
    .exchange('GET /images/save?names=a HTTP/1.1\r\nHost: h\r\n\r\n')
    .catch((error: NodeJS.ErrnoException) => `${error.code}`);
  assert.doesNotMatch(text, /\r\n0\r\n\r\n$/);
});

test('a save whose client goes ends the archive', async () => {
  const ended = Promise.withResolvers<void>();
  async function* endless() {
    try {
      for (;;) yield Buffer.alloc(64 * 1024);
    } finally {
      ended.resolve();
    }
  }
  await using api = await startApi({ images: { save: async () => Readable.from(endless()) } });
  const connection = api.connect();
  connection.write('GET /images/save?names=a HTTP/1.1\r\nHost: h\r\n\r\n');
  await once(connection, 'readable');
  connection.destroy();
  await ended.promise;
});
