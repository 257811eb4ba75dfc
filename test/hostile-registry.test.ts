import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { HyperError, isHyperError } from '../packages/hyperd/src/errors.ts';
import type { Digest } from '../packages/hyperd/src/ids.ts';
import { parseReference } from '../packages/hyperd/src/images/reference.ts';
import { createRegistryClient } from '../packages/hyperd/src/images/registry/client.ts';
import type { RegistryCall, RegistryOptions } from '../packages/hyperd/src/images/registry/registry.ts';
import type { Timing } from '../packages/hyperd/src/images/registry/timing.ts';
import {
  type Handler,
  makeCertificates,
  sha256,
  startOdd,
  startProxy,
  withPing,
} from './support/hostile-registry.ts';
import { MemorySink, sourceOf } from './support/registry-calls.ts';

const BLOB = randomBytes(1_000_000);
const DIGEST = sha256(BLOB) as Digest;

function client(options: Partial<RegistryOptions> = {}, timing: Partial<Timing> = {}) {
  return createRegistryClient(
    { insecureRegistries: [], mirrors: [], certsDirectories: [], env: {}, ...options },
    { firstDelayMs: 5, maxDelayMs: 100, ...timing },
  );
}

function repository(registries: ReturnType<typeof client>, host: string, call: RegistryCall = {}) {
  return registries.repository(parseReference(`${host}/app`), call);
}

/** The blob from where a Range header asks. */
function sendBlob(request: IncomingMessage, response: ServerResponse, upTo = BLOB.length): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (from > 0) {
    const range = `bytes ${from}-${BLOB.length - 1}/${BLOB.length}`;
    response.writeHead(206, { 'content-range': range, 'content-length': BLOB.length - from });
  } else response.writeHead(200, { 'content-length': BLOB.length });
  const end = Math.min(from + upTo, BLOB.length);
  response.write(BLOB.subarray(from, end), () => (end < BLOB.length ? response.destroy() : response.end()));
}

/** Pulls the blob from a server that does `handle`, by a new client. */
async function pullFrom(handle: Handler, call: RegistryCall = {}, timing: Partial<Timing> = {}) {
  await using server = await startOdd(handle);
  await using registries = client({}, timing);
  const sink = new MemorySink();
  const failure = await repository(registries, server.host, call)
    .blob(DIGEST, BLOB.length, sink)
    .then(
      () => undefined,
      (error: unknown) => error as HyperError,
    );
  return { seen: server.seen, sink, failure, isWhole: sink.bytes().equals(BLOB) };
}

const json = (response: ServerResponse, status: number, value: unknown, headers = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
};

// --- transfers ---

test('a connection that is cut again and again: each try goes on where the last one ended', async () => {
  const notices: string[] = [];
  const onRetry = (_: number, reason: string): void => void notices.push(reason);
  const { seen, isWhole, sink } = await pullFrom(
    (request, response) => sendBlob(request, response, 120_000),
    { onRetry },
  );
  assert.ok(isWhole);
  assert.equal(sink.resets, 0);
  assert.equal(seen[0]?.headers.range, undefined);
  assert.equal(seen[0]?.headers['accept-encoding'], 'identity');
  const starts = seen.slice(1).map(({ headers }) => Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1]));
  assert.ok(starts.length >= 7, 'more tries than there may be without progress');
  assert.deepEqual(
    starts,
    starts.toSorted((a, b) => a - b),
  );
  assert.equal(notices.length, starts.length);
});

test('a registry that gives next to nothing with each try is given up', async () => {
  const { seen, failure } = await pullFrom((request, response) => sendBlob(request, response, 10));
  assert.ok(isHyperError(failure, 'unavailable'), `${failure}`);
  assert.equal(seen.length, 5);
});

test('a Range that is ignored: the sink begins anew', async () => {
  let requests = 0;
  const { isWhole, sink, seen } = await pullFrom((request, response) => {
    if (requests++ === 0) return sendBlob(request, response, 500_000);
    response.end(BLOB);
  });
  assert.ok(isWhole);
  assert.equal(sink.resets, 1);
  assert.ok(seen[1]?.headers.range);
});

for (const [name, answer] of [
  [
    'a wrong Content-Range',
    { status: 206, headers: { 'content-range': `bytes 7-${BLOB.length - 1}/${BLOB.length}` } },
  ],
  ['no Content-Range', { status: 206, headers: {} }],
  ['416', { status: 416, headers: {} }],
] as const) {
  test(`${name} for the rest of a blob: the whole is asked for`, async () => {
    let requests = 0;
    const { isWhole, seen, sink } = await pullFrom((request, response) => {
      if (requests++ === 0) return sendBlob(request, response, 500_000);
      if (request.headers.range)
        return void response.writeHead(answer.status, answer.headers).end(BLOB.subarray(7));
      response.end(BLOB);
    });
    assert.ok(isWhole);
    assert.equal(sink.resets, 1);
    assert.deepEqual(
      seen.map(({ headers }) => headers.range !== undefined),
      [false, true, false],
    );
  });
}

for (const [name, headers, got] of [
  ['announced', { 'content-length': BLOB.length + 1 }, '1000001'],
  ['unannounced', {}, 'at least 1000001'],
] as const) {
  test(`more bytes than the blob has, ${name}, are corrupt`, async () => {
    const { failure, seen, sink } = await pullFrom((_, response) => {
      response.writeHead(200, headers).end(Buffer.concat([BLOB, Buffer.from('!')]));
    });
    assert.ok(isHyperError(failure, 'corrupt'), `${failure}`);
    assert.match(
      failure.message,
      new RegExp(`^pull blob ${DIGEST} of localhost:\\d+/app: expected 1000000 bytes, got ${got}$`),
    );
    assert.equal(seen.length, 1);
    assert.equal(sink.sizeBytes, 0);
  });
}

for (const [name, handle] of [
  [
    'too long a Content-Length',
    (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { 'content-length': BLOB.length });
      response.write(BLOB.subarray(0, 1000), () => response.destroy());
    },
  ],
  [
    'too short a Content-Length',
    (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.socket?.write(BLOB); // more than announced, past node's own counting
    },
  ],
  [
    'too few bytes in chunks',
    (_: IncomingMessage, response: ServerResponse) => void response.end(BLOB.subarray(0, 1000)),
  ],
] as const) {
  test(`${name} ends in an error that says so`, { timeout: 60_000 }, async () => {
    const { failure } = await pullFrom(handle);
    assert.ok(isHyperError(failure, 'unavailable'), `${failure}`);
    assert.match(failure.message, /localhost:\d+(?: gave \d+ of 1000000 bytes|: .+)$/);
  });
}

test('a body that stops coming is left, and gone on with', async () => {
  let requests = 0;
  const { isWhole, seen } = await pullFrom(
    (request, response) => {
      if (requests++ > 0) return sendBlob(request, response);
      response.writeHead(200, { 'content-length': BLOB.length });
      response.write(BLOB.subarray(0, 300_000));
    },
    {},
    { idleMs: 200 },
  );
  assert.ok(isWhole);
  assert.equal(seen[1]?.headers.range, 'bytes=300000-');
});

test('an answer that never comes is waited for five times', async () => {
  const { failure, seen } = await pullFrom(() => undefined, {}, { headersMs: 100 });
  assert.ok(isHyperError(failure, 'unavailable'), `${failure}`);
  assert.equal(seen.length, 5);
});

test("what the sink throws is the pull's own failure: nothing is tried again", async () => {
  await using server = await startOdd((request, response) => sendBlob(request, response));
  await using registries = client();
  const full = new HyperError('limit', 'no space');
  const sink = { sizeBytes: 0, append: () => Promise.reject(full), reset: async () => undefined };
  await assert.rejects(
    repository(registries, server.host).blob(DIGEST, BLOB.length, sink),
    (error) => error === full,
  );
  assert.equal(server.seen.length, 1);
});

test('a signal ends a transfer, and a wait for the next try', async () => {
  for (const handle of [
    (_: IncomingMessage, response: ServerResponse) => void response.writeHead(200).write('x'),
    (_: IncomingMessage, response: ServerResponse) =>
      void response.writeHead(429, { 'retry-after': '60' }).end(),
  ]) {
    const stop = new AbortController();
    const { failure } = await pullFrom(
      (request, response) => {
        handle(request, response);
        setTimeout(() => stop.abort(), 50);
      },
      { signal: stop.signal },
      { maxDelayMs: 60_000 },
    );
    assert.ok(isHyperError(failure, 'canceled'), `${failure}`);
  }
});

test('a client that is disposed ends its transfers', async () => {
  const begun = Promise.withResolvers<void>();
  await using server = await startOdd((_, response) => {
    response.writeHead(200).write('x');
    begun.resolve();
  });
  const registries = client();
  const pull = repository(registries, server.host).blob(DIGEST, BLOB.length, new MemorySink());
  const ended = assert.rejects(pull, (error) => isHyperError(error, 'canceled'));
  await begun.promise;
  await registries[Symbol.asyncDispose]();
  await ended;
});

// --- being turned away for a while ---

for (const retryAfter of ['0', () => new Date(Date.now() - 1000).toUTCString(), undefined] as const) {
  test(`429 with Retry-After ${typeof retryAfter === 'function' ? 'as a date' : retryAfter} is waited out`, async () => {
    let requests = 0;
    const waits: [number, string][] = [];
    const { isWhole } = await pullFrom(
      (request, response) => {
        if (requests++ > 1) return sendBlob(request, response);
        const value = typeof retryAfter === 'function' ? retryAfter() : retryAfter;
        json(
          response,
          429,
          { errors: [{ code: 'TOOMANYREQUESTS', message: 'slow\u001b[31mdown' }] },
          value ? { 'retry-after': value } : {},
        );
      },
      { onRetry: (delayMs, reason) => void waits.push([delayMs, reason]) },
    );
    assert.ok(isWhole);
    assert.equal(waits.length, 2);
    for (const [delayMs, reason] of waits) {
      assert.match(reason, /answers 429: TOOMANYREQUESTS: slow \[31mdown$/);
      if (retryAfter !== undefined) assert.equal(delayMs, 0);
    }
  });
}

test('Retry-After is not followed beyond the longest wait', async () => {
  const waits: number[] = [];
  const { failure } = await pullFrom(
    (_, response) => void response.writeHead(503, { 'retry-after': '86400' }).end(),
    { onRetry: (delayMs) => void waits.push(delayMs) },
    { maxDelayMs: 20 },
  );
  assert.ok(isHyperError(failure, 'unavailable'), `${failure}`);
  assert.deepEqual(waits, [20, 20, 20, 20]);
});

for (const status of [400, 403, 404, 501]) {
  test(`${status} is not tried again`, async () => {
    const { seen, failure } = await pullFrom((_, response) => void response.writeHead(status).end('<html>'));
    assert.equal(seen.length, 1);
    const code = status === 403 ? 'forbidden' : status === 404 ? 'not-found' : 'unavailable';
    assert.ok(isHyperError(failure, code), `${failure}`);
  });
}

// --- manifests and tags ---

test('an endless manifest is refused at its bound', async () => {
  await using server = await startOdd((_, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(BLOB));
    };
    response.writeHead(200).on('drain', more);
    more();
  });
  await using registries = client();
  await assert.rejects(repository(registries, server.host).manifest('1'), (error) =>
    isHyperError(error, 'limit'),
  );
});

test('another manifest than the digest says is corrupt', async () => {
  await using server = await startOdd((_, response) => void response.end('{}'));
  await using registries = client();
  await assert.rejects(repository(registries, server.host).manifest(DIGEST), (error) =>
    isHyperError(error, 'corrupt'),
  );
  assert.equal((await repository(registries, server.host).manifest('1')).bytes.toString(), '{}');
});

test('tags are gathered from all pages, which stay with the registry', async () => {
  await using server = await startOdd((request, response) => {
    const page = Number(new URL(request.url ?? '', 'http://x').searchParams.get('last') ?? 0);
    const next = request.url?.includes('/away/')
      ? 'http://evil.invalid/v2/tags'
      : `/v2/app/tags/list?n=2&last=${page + 2}`;
    const link = page < 4 ? { link: `<${next}>; rel="next"` } : {};
    json(response, 200, { tags: [`t${page}`, `t${page + 1}`] }, link);
  });
  await using registries = client();
  assert.deepEqual(await repository(registries, server.host).tags(), ['t0', 't1', 't2', 't3', 't4', 't5']);
  await assert.rejects(
    registries.repository(parseReference(`${server.host}/away/x`), {}).tags(),
    /next page of tags elsewhere/,
  );
});

for (const [name, handle, code] of [
  ['the same page for ever', () => ['same'], 'unavailable'],
  ['pages for ever', (n: number) => Array.from({ length: 1000 }, (_, i) => `t${n}-${i}`), 'limit'],
  ['what is no tag', () => ['../../etc'], 'corrupt'],
] as const) {
  test(`a list of tags with ${name} is refused`, async () => {
    let pages = 0;
    await using server = await startOdd((_, response) => {
      json(response, 200, { tags: handle(pages++) }, { link: `</v2/app/tags/list?last=${pages}>; rel=next` });
    });
    await using registries = client();
    await assert.rejects(repository(registries, server.host).tags(), (error) => isHyperError(error, code));
  });
}

// --- tokens ---

/** A registry whose tokens last for `uses` requests, and its token server. */
function tokenRegistry(uses: number, serve: Handler, expiresIn?: number) {
  let issued = 0;
  let left = 0;
  const asked: { method: string; url: URL; authorization: string | undefined; body: string }[] = [];
  const handle: Handler = withPing(async (request, response) => {
    const url = new URL(request.url ?? '', `http://${request.headers.host}`);
    const { authorization } = request.headers;
    if (url.pathname === '/token') {
      let body = '';
      for await (const chunk of request) body += chunk;
      asked.push({ method: request.method ?? '', url, authorization, body });
      left = uses;
      const basic = `Basic ${Buffer.from('me:right').toString('base64')}`;
      if (authorization !== undefined && authorization !== basic)
        return json(response, 401, { details: 'incorrect username or password' });
      return json(response, 200, {
        token: `t${++issued}`,
        ...(expiresIn !== undefined && { expires_in: expiresIn }),
      });
    }
    if (authorization !== `Bearer t${issued}` || left-- <= 0) {
      const scope = url.pathname.replace(/^\/v2\/(.*?)\/(?:blobs|manifests|tags)\/.*$/, 'repository:$1:pull');
      const bearer = `Bearer realm="${url.origin}/token",service="odd, \\"quoted\\"",scope="${scope}"`;
      return json(response, 401, {}, { 'www-authenticate': bearer });
    }
    await serve(request, response);
  });
  return { asked, handle };
}

test('a token that ends in the middle of a pull is replaced, once for each time', async () => {
  const { asked, handle } = tokenRegistry(1, (request, response) => sendBlob(request, response, 400_000));
  const { isWhole } = await pullFrom(handle);
  assert.ok(isWhole);
  assert.equal(asked.length, 3);
  assert.equal(asked[0]?.url.searchParams.get('service'), 'odd, "quoted"');
  assert.deepEqual(asked[0]?.url.searchParams.getAll('scope'), ['repository:app:pull']);
});

test('a registry that never takes its own tokens is not asked for ever', async () => {
  const { asked, handle } = tokenRegistry(0, () => undefined);
  const { failure } = await pullFrom(handle);
  assert.ok(isHyperError(failure, 'unauthorized'), `${failure}`);
  assert.ok(asked.length <= 2);
});

test('tokens are shared by calls with the same credentials, and by no others', async () => {
  const { asked, handle } = tokenRegistry(1000, (request, response) => sendBlob(request, response));
  await using server = await startOdd(handle);
  await using registries = client();
  const pull = (call: RegistryCall) =>
    repository(registries, server.host, call).blob(DIGEST, BLOB.length, new MemorySink());
  await pull({});
  await pull({});
  assert.equal(asked.length, 1);
  await pull({ auth: { username: 'me', password: 'right' } });
  assert.equal(asked.length, 2);
  assert.equal(asked[1]?.url.searchParams.get('account'), 'me');
  await assert.rejects(pull({ auth: { username: 'me', password: 'wrong' } }), (error) => {
    assert.ok(isHyperError(error, 'unauthorized'));
    assert.match(error.message, /token server localhost:\d+ answers 401: incorrect username or password/);
    return true;
  });
});

test('a token is not sent after its time', async () => {
  const { asked, handle } = tokenRegistry(1000, (request, response) => sendBlob(request, response), 0.0001);
  await using server = await startOdd(handle);
  await using registries = client();
  for (let n = 0; n < 2; n++)
    await repository(registries, server.host).blob(DIGEST, BLOB.length, new MemorySink());
  assert.equal(asked.length, 2);
  assert.deepEqual(
    server.seen.filter(({ url }) => url.includes('/blobs/')).map(({ headers }) => headers.authorization),
    [undefined, 'Bearer t1', 'Bearer t2'],
  );
});

test('an identity token is exchanged by POST, a registry token sent as it is', async () => {
  const { asked, handle } = tokenRegistry(1000, (request, response) => sendBlob(request, response));
  await using server = await startOdd(handle);
  await using registries = client();
  const pull = (call: RegistryCall) =>
    repository(registries, server.host, call).blob(DIGEST, BLOB.length, new MemorySink());
  await pull({ auth: { username: '<token>', identityToken: 'refresh me' } });
  assert.equal(asked[0]?.method, 'POST');
  assert.equal(asked[0]?.authorization, undefined);
  assert.deepEqual(Object.fromEntries(new URLSearchParams(asked[0]?.body)), {
    ...{ grant_type: 'refresh_token', refresh_token: 'refresh me', client_id: 'hyperd' },
    ...{ service: 'odd, "quoted"', scope: 'repository:app:pull' },
  });
  await pull({ auth: { registryToken: 't1' } });
  assert.equal(asked.length, 1);
  await assert.rejects(pull({ auth: { registryToken: 'old' } }), (error) =>
    isHyperError(error, 'unauthorized'),
  );
});

test('push asks for pull and push, mount for pull of the other repository as well', async () => {
  const { asked, handle } = tokenRegistry(1, (_, response) => void response.writeHead(201).end());
  await using server = await startOdd(handle);
  await using registries = client();
  assert.equal(await repository(registries, server.host).mountBlob(DIGEST, 'other/app'), true);
  const last = asked.at(-1)?.url.searchParams.getAll('scope');
  assert.deepEqual(last, ['repository:app:pull,push', 'repository:other/app:pull']);
});

test('insufficient_scope is forbidden', async () => {
  const { failure } = await pullFrom((request, response) => {
    if (request.url === '/v2/' || request.url?.startsWith('/token'))
      return json(response, 200, { token: 'weak' });
    const challenge = `Bearer realm="http://${request.headers.host}/token",service="s",error="insufficient_scope"`;
    json(
      response,
      401,
      { errors: [{ code: 'DENIED', message: 'requested access is denied' }] },
      { 'www-authenticate': challenge },
    );
  });
  assert.ok(isHyperError(failure, 'forbidden'), `${failure}`);
  assert.match(failure.message, /DENIED: requested access is denied/);
});

test('a login by tokens is proved anew each time', async () => {
  const { asked, handle } = tokenRegistry(1000, (_, response) => void response.end());
  await using server = await startOdd(handle);
  await using registries = client();
  const auth = { username: 'me', password: 'right', serverAddress: server.host };
  for (let n = 0; n < 2; n++) await registries.checkLogin(auth);
  assert.equal(asked.length, 2);
  await assert.rejects(registries.checkLogin({ ...auth, password: 'wrong' }), /Wrong login\/password/);
});

test('a login is not sent over plain HTTP for a registry that is spoken to over TLS', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hyrh-'));
  const made = makeCertificates(directory, 'tls');
  const files = { cert: readFileSync(made.certificate), key: readFileSync(made.key) };
  rmSync(directory, { recursive: true });
  await using tokens = await startOdd((_, response) => json(response, 200, { token: 'x' }));
  await using server = await startOdd((_, response) => {
    json(response, 401, {}, { 'www-authenticate': `Bearer realm="http://${tokens.host}/token",service="s"` });
  }, files);
  await using registries = client();
  const auth = { username: 'me', password: 'right' };
  await assert.rejects(repository(registries, server.host, { auth }).manifest('1'), (error) => {
    assert.ok(isHyperError(error, 'unauthorized'));
    return /over plain HTTP, which is refused/.test(error.message);
  });
  assert.equal(tokens.seen.length, 0);
});

// --- redirects ---

test('another host gets no credentials by a redirect, and the Range it needs', async () => {
  let requests = 0;
  await using storage = await startOdd((request, response) =>
    sendBlob(request, response, requests++ === 0 ? 500_000 : undefined),
  );
  const { handle } = tokenRegistry(1000, (request, response) => {
    response.writeHead(307, { location: `http://${storage.host}${request.url}?signed=1` }).end();
  });
  await using server = await startOdd(handle);
  await using registries = client();
  const sink = new MemorySink();
  const auth = { username: 'me', password: 'right' };
  await repository(registries, server.host, { auth }).blob(DIGEST, BLOB.length, sink);
  assert.ok(sink.bytes().equals(BLOB));
  assert.equal(storage.seen.length, 2);
  for (const { headers, url } of storage.seen) {
    assert.equal(headers.authorization, undefined);
    assert.ok(url.endsWith('?signed=1'));
  }
  assert.match(storage.seen[1]?.headers.range ?? '', /^bytes=\d+-$/);
});

test('a way round by another host and back bears no credentials either', async () => {
  await using other = await startOdd((request, response) => {
    response
      .writeHead(302, { location: new URL(request.url ?? '', 'http://x').searchParams.get('back') ?? '' })
      .end();
  });
  await using server = await startOdd((request, response) => {
    if (request.url === '/stolen') return json(response, 200, {});
    if (!request.headers.authorization)
      return json(response, 401, {}, { 'www-authenticate': 'Basic realm="x"' });
    response
      .writeHead(302, { location: `http://${other.host}/?back=http://${request.headers.host}/stolen` })
      .end();
  });
  await using registries = client();
  await repository(registries, server.host, { auth: { username: 'me', password: 'right' } }).manifest('1');
  assert.equal(server.seen.find(({ url }) => url === '/stolen')?.headers.authorization, undefined);
  assert.equal(other.seen[0]?.headers.authorization, undefined);
});

test('redirects in a circle are left', async () => {
  const { failure, seen } = await pullFrom(
    (request, response) => void response.writeHead(302, { location: request.url }).end(),
  );
  assert.ok(isHyperError(failure, 'unavailable'), `${failure}`);
  assert.match(failure.message, /redirects more than 5 times/);
  assert.equal(seen.length, 6);
});

test('https is not left by a redirect', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hyrh-'));
  const made = makeCertificates(directory, 'tls');
  const files = { cert: readFileSync(made.certificate), key: readFileSync(made.key) };
  rmSync(directory, { recursive: true });
  await using plain = await startOdd((_, response) => void response.end('{}'));
  await using server = await startOdd(
    (_, response) => void response.writeHead(302, { location: `http://${plain.host}/` }).end(),
    files,
  );
  await using registries = client();
  await assert.rejects(repository(registries, server.host).manifest('1'), /redirects from https to http/);
  assert.equal(plain.seen.length, 0);
});

// --- mirrors ---

test('mirrors are asked in order, without credentials, and the registry itself in the end', async () => {
  await using broken = await startOdd((_, response) => void response.writeHead(500).end());
  await using poor = await startOdd((_, response) =>
    json(response, 401, {}, { 'www-authenticate': 'Basic realm="x"' }),
  );
  await using lying = await startOdd((_, response) => void response.end('{"another": 1}'));
  const manifest = Buffer.from('{}');
  await using origin = await startOdd((request, response) => {
    if (!request.headers.authorization)
      return json(response, 401, {}, { 'www-authenticate': 'Basic realm="x"' });
    response.end(manifest);
  });
  const all = [broken, poor, lying];
  await using registries = client({
    mirrors: ['http://localhost:1', ...all.map(({ host }) => `http://${host}`)].map(
      (url) => `${origin.host}=${url}`,
    ),
  });
  const call = { auth: { username: 'me', password: 'right' } };
  assert.ok(
    (await repository(registries, origin.host, call).manifest(sha256(manifest))).bytes.equals(manifest),
  );
  for (const { seen } of all) {
    assert.equal(seen.length, 1);
    assert.equal(seen[0]?.headers.authorization, undefined);
  }
  await repository(registries, origin.host, call).manifest(sha256(manifest));
  assert.deepEqual(
    all.map(({ seen }) => seen.length),
    [1, 2, 2],
    'one that fails is left alone for a while',
  );
});

test('a mirror that has it is enough, below a path of its own', async () => {
  await using mirror = await startOdd((request, response) => sendBlob(request, response));
  await using registries = client({ mirrors: [`http://${mirror.host}/docker/`] });
  const sink = new MemorySink();
  await registries.repository(parseReference('busybox'), {}).blob(DIGEST, BLOB.length, sink);
  assert.ok(sink.bytes().equals(BLOB));
  assert.equal(mirror.seen[0]?.url, `/docker/v2/library/busybox/blobs/${DIGEST}`);
});

test('a blob that a mirror cuts is gone on with by the registry', async () => {
  await using mirror = await startOdd((request, response) => sendBlob(request, response, 400_000));
  await using origin = await startOdd((request, response) => sendBlob(request, response));
  await using registries = client({ mirrors: [`${origin.host}=http://${mirror.host}`] });
  const sink = new MemorySink();
  await repository(registries, origin.host).blob(DIGEST, BLOB.length, sink);
  assert.ok(sink.bytes().equals(BLOB));
  assert.match(origin.seen[0]?.headers.range ?? '', /^bytes=[1-9]\d*-$/);
});

// --- proxies ---

test('plain HTTP goes by the proxy, but for what NO_PROXY lists', async () => {
  await using server = await startOdd((request, response) => sendBlob(request, response));
  await using proxy = await startProxy();
  const env = { http_proxy: `http://me:p%40ss@localhost:${proxy.port}` };
  const host = `registry.test:${server.port}`;
  await using registries = client({ env, insecureRegistries: [host] });
  const sink = new MemorySink();
  await repository(registries, host).blob(DIGEST, BLOB.length, sink);
  assert.ok(sink.bytes().equals(BLOB));
  assert.deepEqual(proxy.targets.at(-1), `GET http://${host}/v2/app/blobs/${DIGEST}`);
  assert.equal(server.seen.at(-1)?.headers.host, host);
  assert.equal(
    server.seen.at(-1)?.headers['proxy-authorization'],
    `Basic ${Buffer.from('me:p@ss').toString('base64')}`,
  );

  const before = proxy.targets.length;
  await repository(registries, server.host).blob(DIGEST, BLOB.length, new MemorySink());
  assert.equal(proxy.targets.length, before, 'loopback is not proxied');
  await using direct = client({ env: { ...env, NO_PROXY: 'other.test,.test' }, insecureRegistries: [host] });
  await assert.rejects(repository(direct, host).manifest('1'), (error) => isHyperError(error, 'unavailable'));
  assert.equal(proxy.targets.length, before);
});

test('a proxy that refuses is named', async () => {
  await using refusing = await startOdd((_, response) => void response.writeHead(407).end());
  for (const [name, scheme] of [
    ['HTTP_PROXY', 'http'],
    ['HTTPS_PROXY', 'https'],
  ] as const) {
    await using registries = client({
      env: { [name]: `localhost:${refusing.port}` },
      mirrors: [`registry.test=${scheme}://registry.test`],
    });
    await assert.rejects(
      registries.repository(parseReference('registry.test/app'), {}).manifest('1'),
      (error) => {
        assert.ok(isHyperError(error, 'unavailable'));
        return error.message.includes(`roxy localhost:${refusing.port}`);
      },
    );
  }
});

// --- pushes ---

const LARGE = Buffer.concat([randomBytes(100), Buffer.alloc(70 * 1024 * 1024)]);

/** A registry that takes one blob in chunks; `spoil` may do something else with a request. */
function uploadRegistry(
  spoil: (request: IncomingMessage, response: ServerResponse, have: number) => boolean | Promise<boolean>,
) {
  let have: Buffer[] = [];
  const size = (): number => have.reduce((sum, { length }) => sum + length, 0);
  let stored: Buffer | undefined;
  let places = 0;
  const handle: Handler = async (request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    const range = { range: `0-${Math.max(0, size() - 1)}`, location: `/upload/${++places}?state=a%20b` };
    if (request.method === 'HEAD') return void response.writeHead(stored ? 200 : 404).end();
    if (await spoil(request, response, size())) return;
    if (request.method === 'POST') {
      have = [];
      return void response
        .writeHead(202, {
          location: `/upload/${places}?state=a%20b`,
          'oci-chunk-min-length': 40 * 1024 * 1024,
        })
        .end();
    }
    if (request.method === 'GET') return void response.writeHead(204, range).end();
    const first = /^(\d+)-\d+$/.exec(String(request.headers['content-range'] ?? ''))?.[1];
    if (request.method === 'PATCH' && Number(first) !== size())
      return void response.writeHead(416, range).end();
    for await (const chunk of request) have.push(chunk as Buffer);
    if (request.method === 'PATCH')
      return void response.writeHead(202, { ...range, range: `0-${size() - 1}` }).end();
    const bytes = Buffer.concat(have);
    if (sha256(bytes) !== url.searchParams.get('digest'))
      return json(response, 400, { errors: [{ code: 'DIGEST_INVALID' }] });
    stored = bytes;
    response.writeHead(201).end();
  };
  return { handle, stored: () => stored, keep: (chunk: Buffer) => void have.push(chunk) };
}

async function pushTo(registry: ReturnType<typeof uploadRegistry>) {
  await using server = await startOdd(registry.handle);
  await using registries = client();
  const reads: number[] = [];
  const failure = await repository(registries, server.host)
    .uploadBlob(
      sourceOf(LARGE, (from) => reads.push(from)),
      () => undefined,
    )
    .then(
      () => undefined,
      (error: unknown) => error as HyperError,
    );
  return { seen: server.seen, reads, failure, isStored: registry.stored()?.equals(LARGE) ?? false };
}

const CHUNK = 40 * 1024 * 1024;

test('a large blob goes in chunks of the size that the registry wants, by the places it gives', async () => {
  const { seen, isStored } = await pushTo(uploadRegistry(() => false));
  assert.ok(isStored);
  assert.deepEqual(
    seen
      .filter(({ method }) => method === 'PATCH')
      .map(({ headers }) => [headers['content-range'], headers['content-length']]),
    [
      [`0-${CHUNK - 1}`, `${CHUNK}`],
      [`${CHUNK}-${LARGE.length - 1}`, `${LARGE.length - CHUNK}`],
    ],
  );
  assert.match(seen.at(-1)?.url ?? '', /^\/upload\/\d+\?state=a%20b&digest=sha256%3A/);
});

test('an upload that is cut goes on with what the registry says it has', async () => {
  let cut = false;
  const registry = uploadRegistry(async (request, _response, have) => {
    if (request.method !== 'PATCH' || have !== CHUNK || cut) return false;
    cut = true;
    const { socket } = request;
    let kept = 0;
    for await (const chunk of request) {
      registry.keep(chunk as Buffer);
      kept += (chunk as Buffer).length;
      if (kept > 1_000_000) break;
    }
    socket.destroy();
    return true;
  });
  const { isStored, seen, reads } = await pushTo(registry);
  assert.ok(isStored);
  assert.equal(seen.filter(({ method }) => method === 'POST').length, 1);
  assert.equal(seen.filter(({ method }) => method === 'GET').length, 1);
  const [, , resumed] = reads;
  assert.ok(resumed !== undefined && resumed > CHUNK + 1_000_000 && resumed < LARGE.length, `${reads}`);
});

test('416 for a chunk: the upload goes on where the registry is', async () => {
  let refused = false;
  const registry = uploadRegistry((request, response, have) => {
    if (request.method !== 'PATCH' || have === 0 || refused) return false;
    refused = true;
    response.writeHead(416).end();
    return true;
  });
  const { isStored, reads } = await pushTo(registry);
  assert.ok(isStored);
  assert.deepEqual(reads, [0, CHUNK, CHUNK]);
});

test('an upload that the registry has forgotten begins anew', async () => {
  let failures = 0;
  const registry = uploadRegistry((request, response, have) => {
    if (request.method === 'GET') response.writeHead(404).end();
    else if (request.method === 'PATCH' && have > 0 && failures++ === 0) response.writeHead(502).end();
    else return false;
    return true;
  });
  const { isStored, seen } = await pushTo(registry);
  assert.ok(isStored);
  assert.equal(seen.filter(({ method }) => method === 'POST').length, 2);
});

test('a last answer that is lost does not upload twice', async () => {
  let lost = false;
  const registry = uploadRegistry(() => false);
  const { handle } = registry;
  const losing: Handler = async (request, response) => {
    if (request.method !== 'PUT' || lost) return handle(request, response);
    lost = true;
    await handle(
      request,
      Object.assign(Object.create(response), { writeHead: () => ({ end: () => request.socket.destroy() }) }),
    );
  };
  const { isStored, seen, failure } = await pushTo({ ...registry, handle: losing });
  assert.equal(failure, undefined);
  assert.ok(isStored);
  assert.equal(seen.filter(({ method }) => method === 'PUT').length, 1);
});

test("what cannot be read of the source is the push's own failure", async () => {
  await using server = await startOdd(uploadRegistry(() => false).handle);
  await using registries = client();
  const broken = new HyperError('corrupt', 'the store is damaged');
  const source = {
    ...{ digest: DIGEST, sizeBytes: BLOB.length },
    async *read() {
      yield BLOB.subarray(0, 10);
      throw broken;
    },
  };
  await assert.rejects(
    repository(registries, server.host).uploadBlob(source, () => undefined),
    (error) => error === broken,
  );
});

test('an upload to another host bears no credentials', async () => {
  await using storage = await startOdd(async (request, response) => {
    for await (const _ of request);
    response.writeHead(201).end();
  });
  await using server = await startOdd((request, response) => {
    if (!request.headers.authorization)
      return json(response, 401, {}, { 'www-authenticate': 'Basic realm="x"' });
    response.writeHead(202, { location: `http://${storage.host}/put?key=1` }).end();
  });
  await using registries = client();
  await repository(registries, server.host, { auth: { username: 'me', password: 'right' } }).uploadBlob(
    sourceOf(BLOB),
    () => undefined,
  );
  assert.equal(storage.seen[0]?.headers.authorization, undefined);
  assert.equal(storage.seen[0]?.url, `/put?key=1&digest=${encodeURIComponent(DIGEST)}`);
});

test('a registry behind a proxy with TLS may give places over http: the upload stays with TLS', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'hyrh-'));
  const made = makeCertificates(directory, 'tls');
  const files = { cert: readFileSync(made.certificate), key: readFileSync(made.key) };
  rmSync(directory, { recursive: true });
  await using server = await startOdd(async (request, response) => {
    for await (const _ of request);
    if (request.method === 'POST') response.writeHead(202, { location: 'http://localhost/upload/1' }).end();
    else response.writeHead(201).end();
  }, files);
  await using registries = client();
  await repository(registries, server.host).uploadBlob(sourceOf(BLOB), () => undefined);
  assert.equal(server.seen.at(-1)?.url, `/upload/1?digest=${encodeURIComponent(DIGEST)}`);
});

test('a server without the API is no place to log in', async () => {
  await using server = await startOdd(withPing((_, response) => void response.writeHead(404).end()));
  await using registries = client();
  const login = registries.checkLogin({ username: 'me', password: 'right', serverAddress: server.host });
  await assert.rejects(
    login,
    (error) => isHyperError(error, 'unavailable') && /has no registry API/.test(error.message),
  );
});
