import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, startDaemon } from './support/daemon.ts';
import { openNetns } from './support/netns.ts';
import { atStart, sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();
atStart(async () => {
  const { code, stderr } = await run('-d', '--name', 'busy', 'busybox', 'sleep', '1000');
  assert.equal(code, 0, stderr);
});

const run = (...args: string[]) => daemon.hyperctl(['run', ...args]);
const doctor = (...args: string[]) => daemon.hyperctl(['doctor', ...args]);

/** A file or directory below the root, as old as needs be to be left by somebody. */
function leave(path: string): string {
  const full = join(daemon.root, path);
  if (path.endsWith('/')) mkdirSync(full, { recursive: true });
  else writeFileSync(full, 'left');
  utimesSync(full, new Date(0), new Date(0));
  return full;
}

/** Changes a byte in the middle, without any sign of it but the byte. */
function damage(path: string): void {
  const { size, atime, mtime } = statSync(path);
  const byte = (readFileSync(path)[size >> 1] ?? 0) ^ 0xff;
  writeSync(openSync(path, 'r+'), Buffer.from([byte]), 0, 1, size >> 1);
  utimesSync(path, atime, mtime);
}

const largest = (directory: string, suffix = ''): string =>
  readdirSync(directory)
    .filter((name) => name.endsWith(suffix))
    .map((name) => join(directory, name))
    .reduce((a, b) => (statSync(b).size > statSync(a).size ? b : a));

async function answers(pod: string): Promise<void> {
  assert.equal((await daemon.hyperctl(['exec', pod, 'echo', 'hello'])).stdout, 'hello\n');
}

test('a host on which all is well is told to be so', async () => {
  const { code, stdout } = await doctor('--verify');
  assert.equal(code, 0, stdout);
  for (const part of ['database', 'machines', 'pods', 'images', 'networks'])
    assert.match(stdout, new RegExp(`^${part} +ok$`, 'm'));
});

test('what belongs to nobody is told of, and removed only with --fix; what belongs to somebody stays', async () => {
  const left = [
    ...['machines/vm-abcdefghij/', 'pods/gone/', 'builds/some-build/', 'images/tmp/blob-99'],
    ...['pods/busy/scratch.img.tmp', 'templates/old.tmp/', 'scratch/x.img.tmp', 'images/layers/junk.data'],
  ].map(leave);
  const script = 'setInterval(() => undefined, 1000)';
  const process_ = spawn(process.execPath, ['-e', script, `${daemon.root}/machines/vm-0123456789/qmp.sock`], {
    argv0: 'qemu-system-x86_64',
    stdio: 'ignore',
  });
  const ended = once(process_, 'exit');
  const fresh = join(daemon.root, 'images/tmp/blob-100');
  writeFileSync(fresh, 'somebody is at work');

  const told = await doctor();
  assert.equal(told.code, 1);
  for (const path of left)
    assert.ok(told.stdout.includes(path.replace(/\/$/, '')), `${path}:\n${told.stdout}`);
  assert.match(told.stdout, new RegExp(`process ${process_.pid} \\(qemu-system-x86_64\\) .*vm-0123456789`));
  assert.ok(
    left.every((path) => existsSync(path)),
    'nothing is removed unasked',
  );
  assert.ok(!told.stdout.includes(fresh));

  const mended = await doctor('--fix');
  assert.equal(mended.code, 0, mended.stdout);
  assert.equal(mended.stdout.match(/^ {2}mended: /gm)?.length, left.length + 1, mended.stdout);
  assert.deepEqual(
    left.filter((path) => existsSync(path)),
    [],
  );
  await ended;
  assert.doesNotMatch((await doctor('--fix')).stdout, /mended|wrong/, 'a second time there is nothing to do');
  assert.ok(existsSync(fresh));
  rmSync(fresh);
  await answers('busy');
});

test('an image whose files are gone or damaged is found, and made again of its blobs', async () => {
  const images = join(daemon.root, 'images');
  rmSync(largest(join(images, 'rootfs'), '.erofs'));
  assert.match((await doctor()).stdout, /image busybox:latest: its root file system is missing or damaged/);
  assert.equal((await doctor('--fix')).code, 0);
  damage(largest(join(images, 'layers'), '.data'));
  assert.equal((await doctor()).code, 0, 'a byte in the middle is not seen without reading');
  assert.match(
    (await doctor('--verify')).stdout,
    /busybox:latest: its root file system is missing or damaged/,
  );
  assert.equal((await doctor('--verify', '--fix')).code, 0);
  assert.equal((await run('--rm', 'busybox', 'echo', 'sound')).stdout, 'sound\n');
  await answers('busy');
});

test('a damaged blob is found by --verify and put out of the way, and a pull or load brings it again', async () => {
  const archive = join(daemon.root, '../busybox.tar');
  assert.equal((await daemon.hyperctl(['save', '-o', archive, 'busybox'])).code, 0);
  const blob = largest(join(daemon.root, 'images/blobs/sha256'));
  damage(blob);
  const told = await doctor('--verify', '--fix');
  assert.match(told.stdout, /image busybox:latest: its blob sha256:[0-9a-f]{64} is damaged/);
  assert.match(
    (await doctor()).stdout,
    /blob sha256:[0-9a-f]{64} is missing\n.*pull, load or build busybox:latest/,
  );
  const { code, stderr } = await daemon.hyperctl(['load', '-i', archive]);
  assert.equal(code, 0, stderr);
  assert.equal((await doctor('--verify')).code, 0);
});

test('a volume without its directory gets one; a directory without a volume is somebody’s data, and only told of', async () => {
  assert.equal((await daemon.hyperctl(['volume', 'create', 'data'])).code, 0);
  rmSync(join(daemon.root, 'volumes/data'), { recursive: true });
  leave('volumes/unknown/');
  const { code, stdout } = await doctor('--fix');
  assert.equal(code, 0, stdout);
  assert.match(stdout, /mended: volume data has lost its directory/);
  assert.match(stdout, /note: nothing is known of the volume in .*volumes\/unknown/);
  assert.ok(existsSync(join(daemon.root, 'volumes/data/data')));
  assert.ok(existsSync(join(daemon.root, 'volumes/unknown')));
});

test('a database that is damaged is not started with: the message says so, and what runs is left alone', async () => {
  const path = join(daemon.root, 'state.db');
  await daemon.terminate();
  copyFileSync(path, `${path}.copy`);
  const [machine] = daemon.machinePids();
  const bytes = readFileSync(path);
  bytes.fill(0xa5, 4096, 3 * 4096);
  writeFileSync(path, bytes);
  await assert.rejects(
    daemon.restart(),
    /open state database .*state\.db: .*(damaged|malformed).*; put a copy of it back/,
  );
  assert.deepEqual(daemon.machinePids(), [machine]);
  copyFileSync(`${path}.copy`, path);
  await daemon.restart();
  await answers('busy');
});

test('devices of nobody are removed; bridges and rules that were taken away are made again', {
  skip: process.getuid?.() !== 0 && 'bridges need root',
}, async () => {
  using host = openNetns(['192.168.123.0/24']);
  await using bridged = await startDaemon({ runner: host.runner, args: ['--bridge-ip', '192.168.123.1/24'] });
  const examine = (...args: string[]) => bridged.hyperctl(['doctor', ...args]);
  assert.equal((await bridged.hyperctl(['network', 'create', '--subnet', '10.77.0.0/24', 'apart'])).code, 0);
  assert.equal((await examine()).code, 0);
  const bridge = host.devices().find((name) => name !== 'hyper0') as string;
  const stray = bridge.replace(/b[^b]*$/, 't77');
  host.inside('ip', 'tuntap', 'add', 'dev', stray, 'mode', 'tap');
  host.inside('ip', 'link', 'delete', bridge);
  host.inside('nft', 'flush', 'ruleset');
  const told = await examine();
  assert.equal(told.code, 1);
  for (const text of [`the tap ${stray}`, `the bridge ${bridge}`, 'tables are missing'])
    assert.ok(told.stdout.includes(text), `${text}: ${told.stdout}`);
  assert.equal((await examine('--fix')).code, 0);
  await eventually('all is there', async () => (await examine()).code === 0);
  assert.deepEqual(host.devices(), [bridge, 'hyper0'].sort());
  assert.match(host.inside('nft', 'list', 'ruleset'), /192\.168\.123\.0\/24/);
});
