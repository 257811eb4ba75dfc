import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { allCredentials, credentialsOf, forgetCredentials, keepCredentials } from './credentials.ts';
import { CredentialHelper } from './helper.ts';
import { DEFAULT_SERVER, serverOf, serverOfImage } from './servers.ts';

const environment = { DOCKER_CONFIG: process.env.DOCKER_CONFIG, PATH: process.env.PATH };
let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'credentials-'));
  process.env.DOCKER_CONFIG = directory;
  process.env.PATH = [directory, environment.PATH].join(delimiter);
});
beforeEach(() => rmSync(path(), { force: true }));
after(() => {
  rmSync(directory, { recursive: true });
  process.env.PATH = environment.PATH;
  if (environment.DOCKER_CONFIG === undefined) delete process.env.DOCKER_CONFIG;
  else process.env.DOCKER_CONFIG = environment.DOCKER_CONFIG;
});

const path = (): string => join(directory, 'config.json');
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const write = (config: unknown): void => writeFileSync(path(), JSON.stringify(config));
const read = (): Record<string, unknown> => JSON.parse(readFileSync(path(), 'utf8'));

function helper(name: string, script: string): void {
  const program = join(directory, `docker-credential-${name}`);
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
}

for (const [address, server] of [
  ['', DEFAULT_SERVER],
  ['docker.io', DEFAULT_SERVER],
  [DEFAULT_SERVER, DEFAULT_SERVER],
  ['https://reg.example:5000/v2/', 'reg.example:5000'],
  ['reg.example', 'reg.example'],
] as const) {
  test(`credentials for "${address}" are those of ${server}`, () => assert.equal(serverOf(address), server));
}

for (const [image, server] of [
  ['busybox', DEFAULT_SERVER],
  ['team/app:1', DEFAULT_SERVER],
  ['docker.io/app', DEFAULT_SERVER],
  ['localhost/app', 'localhost'],
  ['localhost:5000/app', 'localhost:5000'],
  ['registry.example/a/b@sha256:0', 'registry.example'],
] as const) {
  test(`${image} is of ${server}`, () => assert.equal(serverOfImage(image), server));
}

const stored: readonly (readonly [string, object, object | undefined])[] = [
  ['a login', { auth: base64('me:a:b') }, { username: 'me', password: 'a:b' }],
  ['a padded password', { auth: base64('me:pw\0\0') }, { username: 'me', password: 'pw' }],
  ['an identity token', { auth: base64('me:'), identitytoken: 't' }, { username: 'me', identitytoken: 't' }],
  ['a registry token', { registrytoken: 't' }, { registrytoken: 't' }],
  ['parts', { username: 'me', password: 'pw' }, { username: 'me', password: 'pw' }],
  ['nothing', {}, undefined],
];
for (const [what, entry, expected] of stored) {
  test(`${what} is read from the file`, async () => {
    write({ auths: { 'https://reg.example/v1/': entry } });
    const found = await credentialsOf('reg.example');
    assert.deepEqual(found, expected && { ...expected, serveraddress: 'reg.example' });
  });
}

test('without a file, and with an empty one, there are none', async () => {
  assert.equal(await credentialsOf('reg.example'), undefined);
  writeFileSync(path(), '');
  assert.equal(await credentialsOf('reg.example'), undefined);
});

for (const text of [
  '{"auths":hidden',
  '[]',
  '{"auths":[]}',
  '{"auths":{"a":{"auth":1}}}',
  '{"credsStore":{}}',
]) {
  test(`the file ${text} is refused by its name, and not overwritten`, async () => {
    writeFileSync(path(), text);
    const login = { username: 'me', password: 'pw' };
    for (const call of [() => credentialsOf('reg.example'), () => keepCredentials('reg.example', login)]) {
      await assert.rejects(call, ({ message }: Error) => {
        return message.startsWith(`read credentials from "${path()}"`) && !message.includes('hidden');
      });
    }
    assert.equal(readFileSync(path(), 'utf8'), text);
  });
}

test('a login replaces those under older spellings, and a link to the file stays one', async () => {
  const real = join(directory, 'real.json');
  writeFileSync(real, JSON.stringify({ auths: { 'https://reg.example/v1/': {}, other: {} } }));
  symlinkSync(real, path());
  assert.equal(await keepCredentials('reg.example', { username: 'me', password: 'pw' }), path());
  const auths = { other: {}, 'reg.example': { auth: base64('me:pw') } };
  assert.deepEqual(JSON.parse(readFileSync(real, 'utf8')), { auths });
  assert.equal(await forgetCredentials('reg.example'), true);
  assert.deepEqual(read(), { auths: { other: {} } });
  assert.equal(await forgetCredentials('reg.example'), false);
});

test("a server's own helper comes before the store of all, and both before the file", async () => {
  const answer = (user: string): string => JSON.stringify({ ServerURL: 'x', Username: user, Secret: 's' });
  helper('own', `echo '${answer('<token>')}'`);
  helper(
    'all',
    `case $(cat) in known) echo '${answer('me')}' ;; *) echo credentials not found; exit 1 ;; esac`,
  );
  const auths = { known: { auth: base64('file:pw') }, unknown: { auth: base64('file:pw') } };
  write({ auths, credsStore: 'all', credHelpers: { special: 'own' } });
  assert.deepEqual(await credentialsOf('special'), { identitytoken: 's', serveraddress: 'special' });
  assert.deepEqual(await credentialsOf('known'), { username: 'me', password: 's', serveraddress: 'known' });
  assert.equal((await credentialsOf('unknown'))?.username, 'file');
  helper('all', `case $1 in list) echo '{"known":"me"}' ;; *) echo '${answer('me')}' ;; esac`);
  assert.deepEqual(Object.keys(await allCredentials()).sort(), ['known', 'special', 'unknown']);
});

const failing: readonly (readonly [string, string, RegExp])[] = [
  ['fails', 'echo no key ring; exit 3', /^run "docker-credential-bad get": no key ring$/],
  ['says nothing', 'exit 4', /it ended with 4/],
  ['answers no JSON', 'echo hello', /its answer is no JSON/],
  ['answers something else', 'echo "[]"', /no Username and Secret/],
  ['does not end', 'sleep 100', /no answer within 0.2 s/],
  ['never stops talking', 'yes', /more than \d+ bytes/],
];
for (const [what, script, message] of failing) {
  test(`a helper that ${what} is told`, async () => {
    helper('bad', script);
    const timeoutMs = what === 'does not end' ? 200 : undefined;
    await assert.rejects(new CredentialHelper('bad', timeoutMs).get('reg.example'), { message });
  });
}

test('what a failing helper says of a secret is not repeated, and no path is a name of a helper', async () => {
  helper('bad', 'cat; exit 1');
  const call = new CredentialHelper('bad').store('reg.example', { Username: 'me', Secret: 'hidden' });
  await assert.rejects(
    call,
    (error: Error) => /ended with 1/.test(error.message) && !/hidden/.test(error.message),
  );
  assert.throws(() => new CredentialHelper('../../bin/sh'), /want a name of letters/);
});
