import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeCertificates } from './support/hostile-registry.ts';
import { startRegistry, TEST_LOGIN, type TestRegistry } from './support/registry.ts';
import { atStart, shared, sharedDaemon, sharedDirectory } from './support/shared.ts';

const directory = sharedDirectory('build-registry-');
const tls = makeCertificates(directory, 'registry');
const certs = join(directory, 'certs.d');
const daemon = sharedDaemon({ args: ['--certs-dir', certs] });
let registry: TestRegistry;
atStart(async () => {
  registry = shared(await startRegistry({ login: true, tls }));
  mkdirSync(join(certs, registry.host), { recursive: true });
  copyFileSync(tls.authority, join(certs, registry.host, 'ca.crt'));
});

async function hyperctl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.hyperctl(args, {
    env: { DOCKER_CONFIG: join(directory, 'docker'), PATH: process.env.PATH },
  });
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

function contextOf(...lines: string[]): string {
  const context = mkdtempSync(join(directory, 'context-'));
  writeFileSync(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
  writeFileSync(join(context, 'f'), 'f\n');
  return context;
}

test("base images come with the client's credentials, and not without", async () => {
  const base = `${registry.host}/base:1`;
  await hyperctl('login', '-u', TEST_LOGIN.username, '-p', TEST_LOGIN.password, registry.host);
  await hyperctl('tag', 'busybox', base);
  await hyperctl('push', base);
  await hyperctl('rmi', base);
  const context = contextOf(`FROM ${base}`, 'COPY f /f');
  const { code, stderr } = await daemon.hyperctl(['build', context], {
    env: { DOCKER_CONFIG: join(directory, 'nobody'), PATH: process.env.PATH },
  });
  assert.equal(code, 1);
  assert.match(stderr, /unauthorized|authentication/i);
  await hyperctl('build', context);
});

test('a build takes the steps of an image that another host has made and pushed', async () => {
  const cached = `${registry.host}/cached:1`;
  const context = contextOf(
    ...['FROM busybox AS one', 'WORKDIR /w', 'RUN cat /proc/sys/kernel/random/uuid > id', 'FROM one'],
    ...['COPY f /f', 'RUN true', 'RUN cat /w/id > /copy'],
  );
  await hyperctl('build', '-t', cached, '--build-arg', 'BUILDKIT_INLINE_CACHE=1', context);
  await hyperctl('push', cached);
  const made = await hyperctl('run', '--rm', cached, 'cat', '/w/id', '/copy');
  await hyperctl('rmi', cached);
  await hyperctl('prune', '--builds', '-a');
  const said = await hyperctl('build', '-t', 'again', '--cache-from', cached, context);
  assert.equal(said.match(/Using cache/g)?.length, 5, said);
  assert.equal(await hyperctl('run', '--rm', 'again', 'cat', '/w/id', '/copy'), made);
  assert.match(
    await hyperctl('build', '--cache-from', 'busybox', '--cache-from', `${registry.host}/none`, context),
    /cache from busybox: it tells of no steps.*\n(.*\n)*.*cache from \S+\/none: /,
  );
});
