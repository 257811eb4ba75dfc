import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { collect, eventually, startDaemon, type TestDaemon } from './support/daemon.ts';
import { busyboxLayer, layoutArchive, type SampleImage } from './support/images.ts';
import { serve } from './support/served-images.ts';
import { atStart, sharedDaemon } from './support/shared.ts';

const COUNTER = 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done';
const image: SampleImage = {
  layers: [busyboxLayer(), [{ name: 'f', type: 'file', data: 'x'.repeat(200_000) }]],
};

const daemon = sharedDaemon();
atStart(async () => {
  await started(daemon, 'bystander', COUNTER);
});

async function started(on: TestDaemon, pod: string, script: string): Promise<void> {
  const { code, stderr } = await on.hyperctl(['run', '-d', '--name', pod, 'busybox', 'sh', '-c', script]);
  assert.equal(code, 0, stderr);
}

async function stateOf(pod: string): Promise<{ readonly phase: string; readonly message: string }> {
  const [info] = JSON.parse((await daemon.hyperctl(['inspect', pod])).stdout);
  return info.status;
}

interface SmallDisk extends Disposable {
  readonly path: string;
  /** A daemon's runner: on the disk, whenever it is started. */
  readonly runner: readonly string[];
  run(command: string): void;
  /** To the last block. */
  fill(): void;
  /** Takes away what `fill` has made. */
  empty(): void;
}

/** A disk that only the processes see that `runner` runs, mounted by `script` at "$0". */
async function smallDisk(directory: string, script: string): Promise<SmallDisk> {
  const path = join(directory, 'disk');
  const mount = `mkdir "$0" && ${script} && echo mounted && exec sleep 1000`;
  const holder = spawn('unshare', ['-m', 'sh', '-ec', mount, path]);
  await once(holder.stdout, 'data');
  const runner = ['nsenter', '-t', `${holder.pid}`, '-m'];
  const run = (command: string): string =>
    spawnSync('nsenter', [...runner.slice(1), 'sh', '-c', command], { encoding: 'utf8' }).stdout;
  return {
    ...{ path, runner, run },
    fill() {
      // More than once: a file system may keep some for a file that is being written.
      const free = `stat -f -c %a ${path}`;
      const left = run(
        `for i in $(seq 50); do cat /dev/zero >> ${path}/fill; sync -f ${path}; [ $(${free}) = 0 ] && break; done; ${free}`,
      );
      assert.ok(Number(left) < 256, `${left} blocks are left`); // that ext4 gives to nobody
    },
    empty: () => void run(`rm ${path}/fill`),
    [Symbol.dispose]: () => void holder.kill('SIGKILL'),
  };
}

/** The counter's lines, which have to be all of them. */
async function counted(on: TestDaemon, pod = 'bystander'): Promise<number> {
  const lines = (await on.hyperctl(['logs', pod])).stdout.trim().split('\n').map(Number);
  assert.deepEqual(
    lines,
    lines.map((_, index) => index + 1),
  );
  return lines.length;
}

test("a guest whose kernel panics costs its pod, which says so with the console's end; others go on", async () => {
  await started(daemon, 'panics', 'sleep 1000');
  await daemon.hyperctl([
    'exec',
    '-m',
    'panics',
    '/sbin/busybox',
    'sh',
    '-c',
    'echo c > /proc/sysrq-trigger',
  ]);
  await eventually('the pod has failed', async () => /failed/i.test((await stateOf('panics')).phase));
  const { message } = await stateOf('panics');
  assert.match(message, /the guest's kernel has crashed; its console ended with:\n\[/);
  await daemon.hyperctl(['rm', 'panics']);
  const before_ = await counted(daemon);
  await eventually('the others go on', async () => (await counted(daemon)) > before_);
});

test("a guest's clock is its host's after a pause, however long that was", async () => {
  const guestTime = async (): Promise<number> =>
    Number((await daemon.hyperctl(['exec', 'bystander', 'busybox', 'date', '+%s'])).stdout);
  await daemon.hyperctl(['pause', 'bystander']);
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  await daemon.hyperctl(['unpause', 'bystander']);
  const isRight = async (): Promise<boolean> => {
    const asked = Math.floor(Date.now() / 1000);
    const told = await guestTime();
    return told >= asked && told <= Date.now() / 1000 + 1;
  };
  await eventually("it is the host's", isRight, 20_000); // sooner than it is set anyway, each minute
});

test('a blob and a layer that are damaged on disk are found with their use, and a pull mends them', async () => {
  const server = createServer(serve([image], ([manifest]) => manifest)).listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    const name = `localhost:${(server.address() as AddressInfo).port}/app`;
    assert.equal((await daemon.hyperctl(['pull', name])).code, 0);
    const run = () => daemon.hyperctl(['run', '--rm', name, 'busybox', 'wc', '-c', '/f']);
    assert.match((await run()).stdout, /^200000 /);
    const images = join(daemon.root, 'images');
    const blobs = (): string[] => readdirSync(join(images, 'blobs/sha256')).sort();
    const whole = blobs();
    for (const folder of ['blobs/sha256', 'layers'])
      for (const file of readdirSync(join(images, folder))) {
        const path = join(images, folder, file);
        const bytes = readFileSync(path);
        if (bytes[0] === 0x7b || statSync(path).size === 0) continue; // JSON: what is damaged tells what it is
        writeFileSync(path, bytes.fill(0, bytes.length >> 1));
      }
    const refused = await run();
    assert.match(refused.stderr, /unpack layer sha256:[0-9a-f]{64}/);
    assert.notEqual(refused.code, 0);
    const again = await daemon.hyperctl(['pull', name]);
    assert.equal(again.code, 0, again.stderr);
    assert.match((await run()).stdout, /^200000 /);
    assert.deepEqual(blobs(), whole);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('a full disk is told; what runs goes on, nothing of its output is lost, and all works again once there is room', {
  skip: process.getuid?.() !== 0 && 'mounting a small disk needs root',
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'full-'));
  const ext4 = 'truncate -s 400M "$0.img" && mkfs.ext4 -q -m 0 "$0.img" && mount -o loop "$0.img" "$0"';
  using disk = await smallDisk(directory, ext4);
  await using full = await startDaemon({ runner: disk.runner, root: join(disk.path, 'r') });
  try {
    await started(full, 'writer', COUNTER);
    for (const name of ['waiting', 'unused'])
      await full.hyperctl(['create', '--name', name, 'busybox', 'sleep', '1000']);
    const archive = join(directory, 'image.tar');
    writeFileSync(archive, layoutArchive(image));
    await full.hyperctl(['exec', 'writer', 'busybox', 'sync']);
    const write =
      'echo begun; read go; busybox dd if=/dev/zero of=/big bs=1M count=4; busybox sync; echo kept';
    const filling = full.spawnHyperctl(['exec', '-i', 'writer', 'sh', '-c', write]);
    await once(filling.stdout as NodeJS.ReadableStream, 'data');
    disk.fill();
    const filled = collect(filling, 'go\n');

    const load = await full.hyperctl(['load', '-i', archive, '-n', 'more']);
    assert.match(load.stderr, /no space is left on the disk|disk is full/);
    assert.notEqual(load.code, 0);
    const start = await full.hyperctl(['start', 'waiting']);
    assert.match(start.stderr, /no space left|no space is left|disk is full/i);
    assert.notEqual(start.code, 0);
    assert.doesNotMatch((await full.hyperctl(['images'])).stdout, /more/);
    assert.match((await full.hyperctl(['doctor'])).stdout, /wrong: the disk of .* has 0\.0 of 0\.4 GiB free/);
    await new Promise((resolve) => setTimeout(resolve, 2_000)); // output that does not fit
    const before_ = await counted(full, 'writer');

    disk.empty();
    await eventually('the log goes on', async () => (await counted(full, 'writer')) > before_ + 10);
    assert.equal((await filled).stdout, 'kept\n', 'a pod whose disk has no room waits for it');
    const again = await full.hyperctl(['start', 'waiting']);
    assert.equal(again.code, 0, again.stderr);
    assert.equal((await full.hyperctl(['load', '-i', archive, '-n', 'more'])).code, 0);

    await full.terminate();
    disk.fill();
    await full.restart();
    const removal = await full.hyperctl(['rm', 'unused']);
    assert.equal(removal.code, 0, removal.stderr);
    disk.empty();
    assert.doesNotMatch((await full.hyperctl(['doctor'])).stdout, /^ {2}wrong: (?!the disk)/m);
  } finally {
    await full[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  }
});

test('on a disk that is full to the last byte a daemon starts and things can be removed, and then all works again', {
  skip: process.getuid?.() !== 0 && 'mounting a small disk needs root',
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'full-'));
  using disk = await smallDisk(directory, 'mount -t tmpfs -o size=300M none "$0"');
  await using full = await startDaemon({ runner: disk.runner, root: join(disk.path, 'r') });
  const does = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await full.hyperctl(args);
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  try {
    const archive = join(directory, 'image.tar');
    writeFileSync(archive, layoutArchive(image));
    await started(full, 'runs', COUNTER);
    await started(full, 'stays', COUNTER);
    await does('create', '--name', 'waits', 'busybox', 'sleep', '1000');
    await does('load', '-i', archive, '-n', 'more');
    await does('volume', 'create', 'kept');

    disk.fill();
    const refused = await full.hyperctl(['create', '--name', 'new', 'busybox']);
    assert.match(refused.stderr, /no space is left on the disk of the daemon \(the state database\)/);
    for (const args of [
      ['volume', 'rm', 'kept'],
      ['rm', 'waits'],
      ['rmi', 'more'],
    ])
      await does(...args);
    await full.terminate();
    disk.fill();
    await full.restart();
    disk.fill();
    await does('rm', 'runs');
    assert.doesNotMatch(await does('list'), /waits|runs|new/);
    assert.doesNotMatch(await does('images'), /more/);
    assert.doesNotMatch(await does('volume', 'ls'), /kept/);
    const before_ = await counted(full, 'stays');

    disk.empty();
    await eventually('the others go on', async () => (await counted(full, 'stays')) > before_ + 10);
    await started(full, 'new', COUNTER);
    assert.doesNotMatch((await full.hyperctl(['doctor'])).stdout, /^ {2}wrong: (?!the disk)/m);
  } finally {
    await full[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  }
});
