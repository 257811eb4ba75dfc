import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { ApiError, ConnectionError } from './api-error.ts';
import { type Client, createClient } from './client.ts';
import { demultiplex, type OutputChunk } from './demultiplex.ts';
import { parseHostUrl } from './host-url.ts';
import { imageTag } from './lists.ts';
import { readProgress } from './progress.ts';

const frame = (id: number, payload: Uint8Array): Buffer => {
  const header = Buffer.alloc(8);
  header[0] = id;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
};

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of source) found.push(item);
  return found;
}

/** The bytes of each stream. */
function joined(chunks: readonly OutputChunk[], stream: string): Buffer {
  return Buffer.concat(chunks.filter((chunk) => chunk.stream === stream).map(({ bytes }) => bytes));
}

test('demultiplex() puts the streams together again however the bytes are divided', async () => {
  const payload = fc.tuple(fc.constantFrom(0, 1, 2), fc.uint8Array({ maxLength: 20 }));
  await fc.assert(
    fc.asyncProperty(fc.array(payload), fc.integer({ min: 1, max: 30 }), async (frames, step) => {
      const whole = Buffer.concat(frames.map(([id, bytes]) => frame(id, bytes)));
      const pieces = Array.from({ length: Math.ceil(whole.length / step) }, (_, i) =>
        whole.subarray(i * step, (i + 1) * step),
      );
      const chunks = await all(demultiplex(Readable.from(pieces)));
      const expected = (ids: number[]): Buffer =>
        Buffer.concat(frames.filter(([id]) => ids.includes(id)).map(([, bytes]) => bytes));
      assert.deepEqual(joined(chunks, 'stdout'), expected([0, 1]));
      assert.deepEqual(joined(chunks, 'stderr'), expected([2]));
    }),
  );
});

test('demultiplex() refuses an unknown stream and an end within a frame', async () => {
  await assert.rejects(all(demultiplex(Readable.from([frame(3, Buffer.from('x'))]))), /stream id 3/);
  await assert.rejects(
    all(demultiplex(Readable.from([frame(1, Buffer.from('xy')).subarray(0, 9)]))),
    /within a frame/,
  );
});

test('readProgress() reads a message a line, also the last one without a line feed, and throws what was an error', async () => {
  const source = Readable.from([Buffer.from('{"status":"a"}\r\n{"sta'), Buffer.from('tus":"b"}')]);
  assert.deepEqual(await all(readProgress(source)), [{ status: 'a' }, { status: 'b' }]);
  const failing = Readable.from([
    Buffer.from('{"error":"boom","errorDetail":{"code":404,"message":"boom"}}\n'),
  ]);
  await assert.rejects(all(readProgress(failing)), new ApiError(404, 'boom'));
});

test('imageTag() splits from the right', () => {
  assert.deepEqual(imageTag('localhost:5000/a/b:1.2:abc:10:42'), {
    ...{ repository: 'localhost:5000/a/b', tag: '1.2', id: 'abc' },
    ...{ createdAt: new Date(10_000), sizeBytes: 42 },
  });
});

for (const [url, target] of [
  ['unix:///run/h.sock', { socketPath: '/run/h.sock' }],
  ['tcp://127.0.0.1:12345', { host: '127.0.0.1', port: 12345, isEncrypted: false }],
  ['tcp://[::1]:80', { host: '::1', port: 80, isEncrypted: false }],
  ['tcp://:80', { host: '127.0.0.1', port: 80, isEncrypted: false }],
  ['tls://vm.example:2376', { host: 'vm.example', port: 2376, isEncrypted: true }],
] as const) {
  test(`host ${url}`, () => assert.deepEqual(parseHostUrl(url), target));
}
for (const url of ['', '/run/h.sock', 'unix://relative', 'tcp://host', 'http://host:80']) {
  test(`host "${url}" is refused`, () => assert.throws(() => parseHostUrl(url), /want unix:\/\/\/PATH/));
}

/** A client of a server that a test makes. */
async function withServer(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  use: (client: Client, server: Server) => Promise<void>,
  onUpgrade?: (request: IncomingMessage, socket: Socket) => void,
): Promise<void> {
  const server = createServer(handle).listen(0, '127.0.0.1');
  if (onUpgrade) server.on('upgrade', (request, socket) => onUpgrade(request, socket as Socket));
  await once(server, 'listening');
  using client = createClient(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    await use(client, server);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('errors carry status, text and code, from plain text and from JSON', async () => {
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    if (request.url?.startsWith('/pod/info')) {
      response
        .writeHead(404, { 'Content-Type': 'application/json' })
        .end('{"message":"no","code":"not-found"}');
    } else response.writeHead(500, { 'Content-Type': 'text/plain' }).end('old text\n');
  };
  await withServer(handle, async (client) => {
    await assert.rejects(client.podInfo('x'), new ApiError(404, 'no', 'not-found'));
    await assert.rejects(client.startPod('x'), new ApiError(500, 'old text'));
  });
});

test('a daemon that is not there is a ConnectionError that names it', async () => {
  using client = createClient('unix:///nonexistent/hyper.sock');
  await assert.rejects(
    client.ping(),
    (error: Error) => error instanceof ConnectionError && /"unix:\/\/\/nonexistent/.test(error.message),
  );
});

test('a session: output in frames, and the end of input closes one half only', async () => {
  const onUpgrade = async (request: IncomingMessage, socket: Socket): Promise<void> => {
    assert.equal(request.url, '/attach?container=web');
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
    socket.write(frame(2, Buffer.from('first')));
    const input = Buffer.concat(
      await all(socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>),
    );
    socket.end(frame(1, input));
  };
  const use = async (client: Client): Promise<void> => {
    using session = await client.attach('web', { tty: false });
    session.input.end('typed');
    const chunks = await all(session.output);
    assert.equal(joined(chunks, 'stderr').toString(), 'first');
    assert.equal(joined(chunks, 'stdout').toString(), 'typed');
  };
  await withServer(
    () => assert.fail('it must be an upgrade'),
    use,
    (request, socket) => void onUpgrade(request, socket),
  );
});

test('a session that is refused is an ApiError', async () => {
  const onUpgrade = (_: IncomingMessage, socket: Socket): void => {
    socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n');
  };
  await withServer(
    () => undefined,
    async (client) => {
      await assert.rejects(client.attach('x', { tty: false }), new ApiError(404, 'no'));
    },
    onUpgrade,
  );
});
