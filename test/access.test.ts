import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CommandResult, eventually } from './support/daemon.ts';
import { atStart, sharedDaemon, sharedDirectory } from './support/shared.ts';

const directory = sharedDirectory('access-');
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
const ca = authority('ca');
for (const name of ['server', 'admin', 'ci', 'watcher', 'nobody']) certificate(name, ca);
certificate('stranger', authority('other-ca'));
const config = join(directory, 'config');
writeFileSync(
  config,
  '[Access]\nadmin = all\nci = pods ci-*\nwatcher = read\nunix://' +
    `${join(directory, 'read.sock')} = read\n`,
);
const daemon = sharedDaemon({
  args: [
    ...['--config', config, '--tls-dir', join(directory, 'server'), '--host', 'tls://127.0.0.1:0'],
    ...['--host', `unix://${join(directory, 'read.sock')}`, '--socket-mode', '600'],
  ],
});
let url = '';

atStart(async () => {
  await eventually('the log tells where it listens', () => {
    url = /tls:\/\/127\.0\.0\.1:\d+/.exec(daemon.log())?.[0] ?? '';
    return url !== '';
  });
});

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
}

function authority(name: string): string {
  openssl(
    ...['req', '-x509', ...NEW_KEY, '-days', '2', '-subj', `/CN=${name}`],
    ...['-keyout', `${name}.key`, '-out', `${name}.pem`],
  );
  return name;
}

/** A directory with the three files of one side. All sides know the first authority. */
function certificate(name: string, ca: string): void {
  mkdirSync(join(directory, name));
  openssl('req', ...NEW_KEY, '-subj', `/CN=${name}`, '-keyout', `${name}/key.pem`, '-out', `${name}.csr`);
  writeFileSync(join(directory, 'names'), 'subjectAltName=IP:127.0.0.1\n');
  openssl(
    ...['x509', '-req', '-in', `${name}.csr`, '-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial'],
    ...['-days', '2', '-extfile', 'names', '-out', `${name}/cert.pem`],
  );
  writeFileSync(join(directory, name, 'ca.pem'), readFileSync(join(directory, 'ca.pem')));
}

/** Runs hyperctl over TLS as one of the clients. */
function as(client: string, args: readonly string[], input?: string): Promise<CommandResult> {
  return daemon.hyperctl(['-H', url, '--tls-dir', join(directory, client), ...args], {
    ...(input === undefined ? {} : { input }),
  });
}

async function refused(client: string, args: readonly string[], message: RegExp): Promise<void> {
  const { code, stderr } = await as(client, args);
  assert.notEqual(code, 0, `${client}: ${args.join(' ')}`);
  assert.match(stderr, message);
}

test('over TLS a client does all that it does over a socket, half-closed sessions too', async () => {
  const run = await as('admin', ['run', '-d', '--name', 'theirs', 'busybox', 'sleep', '1000']);
  assert.equal(run.code, 0, run.stderr);
  const exec = await as('admin', ['exec', '-i', 'theirs', 'cat'], 'over TLS\n');
  assert.deepEqual([exec.code, exec.stdout], [0, 'over TLS\n'], exec.stderr);
  const read = await as('admin', [
    'exec',
    'theirs',
    'sh',
    '-c',
    'head -c 3000000 /dev/zero | tr "\\0" x; exit 5',
  ]);
  assert.deepEqual([read.code, read.stdout.length], [5, 3_000_000]);
});

test('who has no certificate that the daemon knows gets nothing', async () => {
  await refused('stranger', ['list'], /certificate|alert|reset|closed|hang up/i);
  await refused('nobody', ['list'], /client "nobody" has no permission/);
  const missing = await daemon.hyperctl(['-H', url, '--tls-dir', join(directory, 'no-such'), 'list']);
  assert.match(missing.stderr, /read TLS file .*no-such\/ca.pem/);
  const plain = await daemon.hyperctl(['-H', url.replace('tls:', 'tcp:'), 'list']);
  assert.notEqual(plain.code, 0);
  const [, port] = /:(\d+)$/.exec(url) ?? [];
  const bare = execFileSync(
    'sh',
    ['-c', `echo | openssl s_client -connect 127.0.0.1:${port} -ign_eof 2>&1 || true`],
    {
      encoding: 'utf8',
      timeout: 20_000,
    },
  );
  assert.match(bare, /alert|handshake failure|certificate required/i);
});

test('a client with pods of its own uses these, and learns nothing of others', async () => {
  const run = await as('ci', ['run', '-d', '--name', 'ci-1', 'busybox', 'sleep', '1000']);
  assert.equal(run.code, 0, run.stderr);
  assert.equal((await as('ci', ['exec', 'ci-1', 'echo', 'mine'])).stdout, 'mine\n');
  assert.match((await as('ci', ['list', 'pod', '-p', 'ci-1'])).stdout, /^ci-1\s/m);
  const only = /client "ci" may use pods ci-\* only/;
  await refused('ci', ['list'], only);
  await refused('ci', ['stop', 'theirs'], only);
  await refused('ci', ['exec', 'theirs', 'true'], only);
  await refused('ci', ['logs', 'no-such'], only);
  await refused('ci', ['run', '-d', '--name', 'other', 'busybox', 'true'], /give the pod an id that matches/);
  await refused('ci', ['run', '-d', '--name', 'ci-2', '-v', '/etc:/host', 'busybox', 'true'], /host's files/);
  await refused('ci', ['rmi', 'busybox'], only);
  assert.equal((await as('ci', ['rm', 'ci-1'])).code, 0);
  const pods = (await daemon.hyperctl(['list'])).stdout;
  assert.match(pods, /^theirs/m);
  assert.doesNotMatch(pods, /ci-|other/);
});

test('a client that may read changes nothing, over TLS or a socket of its own', async () => {
  assert.match((await as('watcher', ['list'])).stdout, /^theirs/m);
  await refused('watcher', ['stop', 'theirs'], /client "watcher" may read only/);
  await refused('watcher', ['exec', 'theirs', 'true'], /may read only/);
  const socket = `unix://${join(directory, 'read.sock')}`;
  assert.match((await daemon.hyperctl(['-H', socket, 'list'])).stdout, /^theirs\s+theirs\s+\S+\s+running/m);
  const stop = await daemon.hyperctl(['-H', socket, 'stop', 'theirs']);
  assert.match(stop.stderr, /may read only/);
  assert.equal(statSync(join(directory, 'read.sock')).mode & 0o777, 0o600);
});

test('the audit log tells who did what and who was refused, and holds no secrets', async () => {
  await as('admin', ['exec', 'theirs', 'sh', '-c', ': hunter2']);
  const file = join(daemon.root, 'audit.log');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const text = readFileSync(file, 'utf8');
  assert.doesNotMatch(text, /hunter2/);
  const entries = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const has = (client: string, call: string, outcome: string, about?: string): boolean =>
    entries.some(
      (entry) =>
        entry.client === client &&
        entry.call === call &&
        entry.outcome === outcome &&
        (about === undefined || Object.values(entry.about).includes(about)),
    );
  assert.ok(has('admin', 'POST /pod/create', 'done', 'theirs'), text);
  assert.ok(has('ci', 'POST /pod/stop', 'forbidden', 'theirs'), text);
  assert.ok(has('ci', 'DELETE /pod', 'done', 'ci-1'), text);
  assert.ok(has('watcher', 'POST /exec/start', 'forbidden'), text);
});
