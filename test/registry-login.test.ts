import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { beforeEach, test } from 'node:test';
import type { CommandResult } from './support/daemon.ts';
import { makeCertificates } from './support/hostile-registry.ts';
import { type LayerEntry, loadImage, type SampleImage } from './support/images.ts';
import { startRegistry, TEST_LOGIN, type TestRegistry } from './support/registry.ts';
import { atStart, shared, sharedDaemon, sharedDirectory } from './support/shared.ts';

const directory = sharedDirectory('hyl-');
/** Where hyperctl keeps credentials. */
const dockerConfig = join(directory, 'docker');
const certs = join(directory, 'certs.d');
const daemon = sharedDaemon({ args: ['--certs-dir', certs] });
/** Over TLS, for those who log in. */
let registry: TestRegistry;
atStart(async () => {
  const tls = makeCertificates(directory, 'registry');
  registry = shared(await startRegistry({ login: true, tls }));
  mkdirSync(join(certs, registry.host), { recursive: true });
  copyFileSync(tls.authority, join(certs, registry.host, 'ca.crt'));
});
beforeEach(() => {
  rmSync(dockerConfig, { recursive: true, force: true });
  mkdirSync(dockerConfig);
});

const file = (name: string, data: string): LayerEntry => ({ name, type: 'file', data });
const config = (): Record<string, unknown> =>
  JSON.parse(readFileSync(join(dockerConfig, 'config.json'), 'utf8'));

function hyperctl(args: readonly string[], input?: string, path = process.env.PATH): Promise<CommandResult> {
  const env = { DOCKER_CONFIG: dockerConfig, PATH: path };
  return daemon.hyperctl(args, { env, ...(input !== undefined && { input }) });
}

/** As `hyperctl`, and it has to succeed. */
async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await hyperctl(args);
  assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

const loaded = (name: string, image: SampleImage): Promise<string> =>
  loadImage(daemon, { path: join(directory, 'image.tar'), name, image });
const login = (password = TEST_LOGIN.password): Promise<CommandResult> =>
  hyperctl(['login', '-u', TEST_LOGIN.username, '--password-stdin', registry.host], `${password}\n`);

test('a login is kept where Docker keeps it, is sent by push and pull, and is forgotten by logout', async () => {
  const others = { auths: { 'other.example': { auth: 'YTpi' } }, HttpHeaders: { a: 'b' } };
  writeFileSync(join(dockerConfig, 'config.json'), JSON.stringify(others), { mode: 0o644 });
  const wrong = await login('wrong');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /Wrong login\/password/);
  assert.deepEqual(config(), others);

  const right = await login();
  assert.equal(right.code, 0, right.stderr);
  assert.match(right.stdout, /^WARNING: login credentials saved in .*config\.json\nLogin Succeeded\n$/);
  const auth = Buffer.from(`${TEST_LOGIN.username}:${TEST_LOGIN.password}`).toString('base64');
  assert.deepEqual(config(), { ...others, auths: { ...others.auths, [registry.host]: { auth } } });
  assert.equal(statSync(join(dockerConfig, 'config.json')).mode & 0o777, 0o600);
  assert.match((await hyperctl(['login', `https://${registry.host}/v2/`])).stdout, /Login Succeeded/);

  const name = `${registry.host}/team/app:1`;
  await loaded('private:1', { layers: [[file('a', randomBytes(100).toString('hex'))]] });
  await done('tag', 'private:1', name);
  const pushed = /1: digest: (sha256:\w{64}) size: \d+\n$/.exec(await done('push', name))?.[1];
  await done('rmi', '-f', name, 'private:1');
  assert.match(await done('pull', name), new RegExp(`Digest: ${pushed}\n`));

  assert.equal(await done('logout', registry.host), `Removed login credentials for ${registry.host}\n`);
  assert.deepEqual(config(), others);
  assert.equal(await done('logout', registry.host), `Not logged in to ${registry.host}\n`);
  const refused = await hyperctl(['push', name]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /hyperctl ERROR: .*401/);
  await done('rmi', '-f', name);
});

test('a credential helper keeps the login in place of the file', async () => {
  const programs = join(directory, 'programs');
  const kept = join(directory, 'kept.json');
  mkdirSync(programs);
  const helper = join(programs, 'docker-credential-test');
  writeFileSync(
    helper,
    `#!/bin/sh
case $1 in
store) cat > ${kept} ;;
get) if [ -e ${kept} ]; then cat ${kept}; else echo 'credentials not found in native keychain'; exit 1; fi ;;
erase) rm ${kept} ;;
esac
`,
  );
  chmodSync(helper, 0o755);
  const path = [programs, process.env.PATH].join(delimiter);
  const run = (args: readonly string[], input?: string) => hyperctl(args, input, path);
  writeFileSync(
    join(dockerConfig, 'config.json'),
    JSON.stringify({ credHelpers: { [registry.host]: 'test' } }),
  );

  const result = await run(['login', '-u', 'tester', '--password-stdin', registry.host], TEST_LOGIN.password);
  assert.equal(result.stdout, 'Login Succeeded\n', result.stderr);
  assert.deepEqual(JSON.parse(readFileSync(kept, 'utf8')), {
    ...{ ServerURL: registry.host, Username: TEST_LOGIN.username, Secret: TEST_LOGIN.password },
  });
  assert.deepEqual(config(), { credHelpers: { [registry.host]: 'test' }, auths: { [registry.host]: {} } });
  assert.equal((await run(['login', registry.host])).stdout, 'Login Succeeded\n');
  assert.equal((await run(['logout', registry.host])).code, 0);
  assert.ok(!existsSync(kept));

  const without = await hyperctl(['pull', `${registry.host}/none:1`]);
  assert.match(without.stderr, /^WARNING: run "docker-credential-test get": there is no such program/);
  assert.match(without.stderr, /hyperctl ERROR: .*401/);
});

test('push asks for a login on a terminal where the registry wants one, and shows no password', async () => {
  const name = `${registry.host}/asked:1`;
  await loaded(name, { layers: [[file('a', 'asked')]] });
  const hyperctlPath = join(import.meta.dirname, '../bin/hyperctl');
  const terminal = spawn('script', ['-qec', `${hyperctlPath} push ${name}`, '/dev/null'], {
    env: { ...process.env, HYPER_HOST: `unix://${daemon.socket}`, DOCKER_CONFIG: dockerConfig },
  });
  const answers = new Map([
    ['Username', TEST_LOGIN.username],
    ['Password', TEST_LOGIN.password],
  ]);
  terminal.stdout.on('data', (chunk: Buffer) => {
    for (const [question, answer] of answers) {
      if (!chunk.includes(`${question}`)) continue;
      answers.delete(question);
      terminal.stdin.write(`${answer}\n`);
    }
  });
  const shown: Buffer[] = [];
  terminal.stdout.on('data', (chunk: Buffer) => shown.push(chunk));
  const code = await new Promise((resolve) => terminal.once('close', resolve));
  const text = Buffer.concat(shown).toString();
  assert.equal(code, 0, text);
  assert.match(
    text,
    /Please log in[\s\S]*Username for localhost:\d+: tester\r\nPassword: \r\n[\s\S]*Login Succeeded/,
  );
  assert.match(text, /digest: sha256:/);
  assert.ok(!text.includes(TEST_LOGIN.password));
  await done('rmi', name);
});
