import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isHyperError } from '../packages/hyperd/src/errors.ts';
import type { Digest } from '../packages/hyperd/src/ids.ts';
import type { RegistryAuth } from '../packages/hyperd/src/images/image-service.ts';
import { parseReference } from '../packages/hyperd/src/images/reference.ts';
import { createRegistryClient } from '../packages/hyperd/src/images/registry/client.ts';
import type { RegistryOptions, Repository } from '../packages/hyperd/src/images/registry/registry.ts';
import { makeCertificates, sha256, startProxy } from './support/hostile-registry.ts';
import { startRegistry, TEST_LOGIN } from './support/registry.ts';
import { MemorySink, sourceOf } from './support/registry-calls.ts';
import { sharedDirectory } from './support/shared.ts';

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const directory = sharedDirectory('hyrt-');

function client(options: Partial<RegistryOptions> = {}) {
  return createRegistryClient(
    { insecureRegistries: [], mirrors: [], certsDirectories: [], env: {}, ...options },
    { firstDelayMs: 10 },
  );
}

/** A folder of `certs.d` for one host, with files copied into it. */
function certsDirectory(host: string, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(directory, 'certs-'));
  mkdirSync(join(root, host));
  for (const [name, path] of Object.entries(files)) copyFileSync(path, join(root, host, name));
  return root;
}

async function pulled(repository: Repository, bytes: Buffer): Promise<Buffer> {
  const sink = new MemorySink();
  await repository.blob(sha256(bytes) as Digest, bytes.length, sink);
  return sink.bytes();
}

async function pushed(repository: Repository, tag: string, blobs: readonly Buffer[]): Promise<Buffer> {
  for (const bytes of blobs) await repository.uploadBlob(sourceOf(bytes), () => undefined);
  const [config, ...layers] = blobs.map((bytes) => ({
    ...{ mediaType: 'application/octet-stream', digest: sha256(bytes), size: bytes.length },
  }));
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers }),
  );
  await repository.putManifest(tag, manifest, MANIFEST_TYPE);
  return manifest;
}

test('what is pushed to a registry can be pulled, mounted and listed', async () => {
  await using registry = await startRegistry();
  await using registries = client();
  const of = (name: string) => registries.repository(parseReference(`${registry.host}/${name}`), {});
  const config = Buffer.from('{}');
  const small = randomBytes(100_000);
  const large = Buffer.concat([randomBytes(1000), Buffer.alloc(40 * 1024 * 1024)]);
  const digest = sha256(large) as Digest;

  assert.equal(await of('a/one').hasBlob(digest), false);
  const manifest = await pushed(of('a/one'), 'first', [config, small, large]);
  await of('a/one').putManifest('second', manifest, MANIFEST_TYPE);
  assert.equal(await of('a/one').hasBlob(digest), true);
  for (const bytes of [small, large]) assert.ok((await pulled(of('a/one'), bytes)).equals(bytes));

  const answer = await of('a/one').manifest('first');
  assert.deepEqual(answer, { bytes: manifest, mediaType: MANIFEST_TYPE, digest: sha256(manifest) });
  assert.deepEqual((await of('a/one').manifest(sha256(manifest))).bytes, manifest);
  assert.deepEqual((await of('a/one').tags()).sort(), ['first', 'second']);

  assert.equal(await of('two').mountBlob(digest, 'a/one'), true);
  assert.equal(await of('two').hasBlob(digest), true);
  assert.equal(await of('two').mountBlob(sha256(Buffer.from('?')) as Digest, 'a/one'), false);

  await assert.rejects(of('a/one').manifest('third'), (error) => {
    assert.ok(isHyperError(error, 'not-found'));
    assert.match(
      error.message,
      /^pull manifest third of localhost:\d+\/a\/one: .*answers 404: MANIFEST_UNKNOWN: manifest unknown/,
    );
    return true;
  });
});

test('uploads tell how many bytes have been sent, in one piece and in chunks', async () => {
  await using registry = await startRegistry();
  await using registries = client();
  for (const sizeBytes of [0, 1, 70 * 1024 * 1024]) {
    const bytes = Buffer.alloc(sizeBytes, 7);
    const sent: number[] = [];
    const repository = registries.repository(parseReference(`${registry.host}/sizes`), {});
    await repository.uploadBlob(sourceOf(bytes), (count) => sent.push(count));
    assert.deepEqual(
      sent,
      sent.toSorted((a, b) => a - b),
    );
    assert.equal(sent.at(-1), sizeBytes);
    assert.ok((await pulled(repository, bytes)).equals(bytes));
  }
});

test("a registry's certificate is believed by its authority in certs.d, which is read again when it changes", async () => {
  const right = makeCertificates(directory, 'right');
  const wrong = makeCertificates(directory, 'wrong');
  await using registry = await startRegistry({ tls: right });
  const root = certsDirectory(registry.host, { 'ca.crt': wrong.authority });
  await using registries = client({ certsDirectories: [root] });
  const repository = registries.repository(parseReference(`${registry.host}/secure`), {});
  await assert.rejects(repository.tags(), (error) => {
    assert.ok(isHyperError(error, 'unavailable'));
    assert.match(error.message, /TLS with localhost:\d+: .*certificate/);
    assert.ok(error.message.includes(join(root, registry.host, 'ca.crt')), error.message);
    return true;
  });
  copyFileSync(right.authority, join(root, registry.host, 'ca.crt'));
  await pushed(repository, '1', [Buffer.from('{}')]);
  assert.deepEqual(await repository.tags(), ['1']);
});

test('by another name than loopback, a certificate that nobody vouches for is refused, unless the registry is insecure', async () => {
  const certificates = makeCertificates(directory, 'unknown');
  await using registry = await startRegistry({ tls: certificates });
  await using proxy = await startProxy();
  const host = registry.host.replace('localhost', 'registry.test');
  const env = { HTTPS_PROXY: `http://localhost:${proxy.port}` };
  const reference = parseReference(`${host}/named:1`);
  {
    await using registries = client({ env });
    await assert.rejects(registries.repository(reference, {}).manifest('1'), (error) => {
      assert.ok(isHyperError(error, 'unavailable'));
      assert.match(
        error.message,
        /TLS with registry\.test:\d+ by proxy localhost:\d+: .*certificate.*authorities believed: the system's$/,
      );
      return true;
    });
  }
  for (const options of [
    { env, insecureRegistries: [host] },
    { env, certsDirectories: [certsDirectory(host, { 'any.crt': certificates.authority })] },
  ]) {
    await using registries = client(options);
    await pushed(registries.repository(reference, {}), '1', [Buffer.from('{}')]);
    assert.deepEqual(await registries.repository(reference, {}).tags(), ['1']);
  }
  assert.ok(
    proxy.targets.every((target) => target === `CONNECT ${host}`),
    proxy.targets.join(),
  );
});

test('a registry that wants client certificates gets the one of certs.d', async () => {
  const server = makeCertificates(directory, 'server');
  const user = makeCertificates(directory, 'user');
  await using registry = await startRegistry({ tls: { ...server, clientAuthority: user.authority } });
  const files = { 'ca.crt': server.authority, 'me.cert': user.certificate, 'me.key': user.key };
  {
    const root = certsDirectory(registry.host, { 'ca.crt': server.authority });
    await using registries = client({ certsDirectories: [root] });
    const tags = registries.repository(parseReference(`${registry.host}/mutual`), {}).tags();
    await assert.rejects(tags, (error) => isHyperError(error, 'unavailable'));
  }
  await using registries = client({ certsDirectories: [certsDirectory(registry.host, files)] });
  const repository = registries.repository(parseReference(`${registry.host}/mutual`), {});
  await pushed(repository, '1', [Buffer.from('{}')]);
  assert.deepEqual(await repository.tags(), ['1']);
});

test('a client certificate without its key is told', async () => {
  const { authority, certificate } = makeCertificates(directory, 'keyless');
  await using registry = await startRegistry();
  const root = certsDirectory(registry.host, { 'ca.crt': authority, 'me.cert': certificate });
  await using registries = client({ certsDirectories: [root] });
  const tags = registries.repository(parseReference(`${registry.host}/x`), {}).tags();
  await assert.rejects(tags, /use client certificate .*me\.cert: its key .*me\.key is missing/);
});

test('a registry with user names is pushed to and pulled from by those it knows', async () => {
  await using registry = await startRegistry({ login: true });
  await using registries = client();
  const as = (auth?: RegistryAuth) =>
    registries.repository(parseReference(`${registry.host}/private`), { auth });
  await pushed(as(TEST_LOGIN), '1', [Buffer.from('{}')]);
  assert.deepEqual(await as(TEST_LOGIN).tags(), ['1']);
  for (const auth of [
    undefined,
    { username: 'tester', password: 'wrong' },
    { username: '', password: 'open sesame' },
  ])
    await assert.rejects(as(auth).manifest('1'), (error) => isHyperError(error, 'unauthorized'));
});

test('a login is proved by the registry', async () => {
  const certificates = makeCertificates(directory, 'login');
  await using registry = await startRegistry({ login: true, tls: certificates });
  await using registries = client({
    certsDirectories: [certsDirectory(registry.host, { 'ca.crt': certificates.authority })],
  });
  for (const serverAddress of [registry.host, `https://${registry.host}`, `https://${registry.host}/v1/`])
    await registries.checkLogin({ ...TEST_LOGIN, serverAddress });
  for (const login of [
    { ...TEST_LOGIN, password: 'wrong' },
    { username: 'nobody', password: 'open sesame' },
    {},
  ])
    await assert.rejects(registries.checkLogin({ ...login, serverAddress: registry.host }), (error) => {
      assert.ok(isHyperError(error, 'unauthorized'));
      assert.match(error.message, /^login to "localhost:\d+": Wrong login\/password, please try again/);
      return true;
    });
  await assert.rejects(registries.checkLogin({ ...TEST_LOGIN, serverAddress: 'no host' }), (error) =>
    isHyperError(error, 'invalid-argument'),
  );
});

test('nobody there is told at once', async () => {
  await using registries = client();
  const notices: string[] = [];
  const call = { onRetry: (_: number, reason: string) => notices.push(reason) };
  for (const host of ['localhost:1', 'no-such-registry.invalid'])
    await assert.rejects(registries.repository(parseReference(`${host}/x`), call).tags(), (error) => {
      assert.ok(isHyperError(error, 'unavailable'));
      return error.message.includes(host);
    });
  assert.deepEqual(notices, []);
});
