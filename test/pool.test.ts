import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, startDaemon } from './support/daemon.ts';
import { sharedDaemon } from './support/shared.ts';

const REFILL_MS = 120_000;

const daemon = sharedDaemon({ pool: true });

async function info(name: string): Promise<string> {
  const { stdout } = await daemon.hyperctl(['info']);
  return new RegExp(`^  ${name}: (.*)$`, 'm').exec(stdout)?.[1] ?? '';
}

/** Counts of `N from the pool (N ready for their image), N cloned, N booted`. */
async function starts(): Promise<{ pool: number; ready: number; clone: number }> {
  const [pool = 0, ready = 0, clone = 0] = (await info('Machines started')).match(/\d+/g)?.map(Number) ?? [];
  return { pool, ready, clone };
}

const waiting = (kind: RegExp): Promise<void> =>
  eventually(`a machine ${kind} waits`, async () => kind.test(await info('Pool machines')), REFILL_MS);
const plain = /MiB(,|$)/;
const ready = /MiB for [0-9a-f]{12}/;

async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.hyperctl(['run', ...args]);
  assert.equal(code, 0, stderr);
  return stdout;
}

const IDENTITY =
  'hostname; cat /etc/hostname /sys/class/net/eth0/address /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | od -An -tx1; ip -6 addr show eth0 | grep -o "fe80[^ ]*"';

test('a pod gets a machine that waited, which is no pod and no machine to anybody before', async () => {
  await waiting(plain);
  assert.equal((await daemon.hyperctl(['list', 'vm'])).stdout.trim().split('\n').length, 1);
  const before = await starts();
  await run('--rm', 'busybox', 'true');
  const { pool, clone } = await starts();
  assert.deepEqual([pool - before.pool, clone - before.clone], [1, 0]);
});

test('inspect tells where the time of a start went, and so does the header of the call', async () => {
  await daemon.hyperctl(['create', '--name=traced', 'busybox', 'echo', 'hello']);
  const timing = await new Promise((resolve, reject) => {
    const call = request(
      { socketPath: daemon.socket, method: 'POST', path: '/v0.8/pod/start?podId=traced' },
      (answer) => resolve(answer.resume().headers['server-timing']),
    );
    call.on('error', reject).end();
  });
  assert.match(
    String(timing),
    /machine;desc="(pool|clone|pool, ready)";dur=[\d.]+, .*exec;dur=.*, total;dur=/,
  );
  await daemon.hyperctl(['wait', 'traced']);
  const { stdout } = await daemon.hyperctl(['inspect', 'traced']);
  const [{ startTrace }] = JSON.parse(stdout);
  const names = startTrace.phases.map(({ name }: { name: string }) => name);
  for (const name of ['ports', 'machine', 'disks', 'exec']) assert.ok(names.includes(name), name);
  assert.ok(startTrace.firstByteMs > 0 && startTrace.totalMs > 0);
  await daemon.hyperctl(['rm', 'traced']);
});

test('after a start of an image a machine is made ready for it; pods from it have no traces and no twins', async () => {
  await waiting(ready);
  const seen: string[][] = [];
  for (let round = 0; round < 2; round++) {
    await waiting(ready);
    const before = await starts();
    const name = `twin${round}`;
    const out = await run(
      `--name=${name}`,
      'busybox',
      'sh',
      '-c',
      `${IDENTITY}; touch /made; ls /rehearsal; df / | tail -1`,
    );
    assert.equal((await starts()).ready - before.ready, 1);
    seen.push(out.trim().split('\n'));
    const archive = join(daemon.root, `${name}.tar`);
    assert.equal((await daemon.hyperctl(['commit', name, name])).code, 0);
    assert.equal((await daemon.hyperctl(['save', '-o', archive, name])).code, 0);
    assert.deepEqual(topLayer(archive), ['made']);
  }
  const [first = [], second = []] = seen;
  assert.equal(first[0], 'twin0');
  for (const index of [0, 1, 2, 3, 4, 5]) {
    assert.ok(first[index], `line ${index}`);
    assert.notEqual(first[index], second[index]);
  }
});

/** Files of the uppermost layer of a docker archive. */
function topLayer(archive: string): string[] {
  const directory = `${archive}.d`;
  execFileSync('mkdir', [directory]);
  execFileSync('tar', ['-xf', archive, '-C', directory]);
  const script = 'import json,sys;print(json.load(open(sys.argv[1]+"/manifest.json"))[0]["Layers"][-1])';
  const layer = execFileSync('python3', ['-c', script, directory], { encoding: 'utf8' }).trim();
  return execFileSync('tar', ['-tf', join(directory, layer)], { encoding: 'utf8' })
    .trim()
    .split('\n');
}

test('a machine of the pool that has died is not handed out', async () => {
  await waiting(plain);
  const before = await starts();
  const pids = daemon.machinePids();
  assert.ok(pids.length > 0);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  assert.equal(await run('--rm', 'busybox', 'echo', 'alive'), 'alive\n');
  assert.equal((await starts()).pool, before.pool);
  await waiting(plain);
});

test('one that hangs is found out when a pod asks for it', async () => {
  await waiting(plain);
  const hung = daemon.machinePids();
  for (const pid of hung) process.kill(pid, 'SIGSTOP');
  try {
    assert.equal(await run('--rm', 'busybox', 'echo', 'alive'), 'alive\n');
    assert.ok(daemon.machinePids().length >= 0);
  } finally {
    for (const pid of hung) if (daemon.machinePids().includes(pid)) process.kill(pid, 'SIGCONT');
  }
});

test('a pod that has a writable disk from before keeps it', async () => {
  await run('-d', '--name=stays', 'busybox', 'sh', '-c', 'cat /kept; echo kept > /kept; sleep 1000');
  await daemon.hyperctl(['stop', 'stays']);
  await waiting(ready);
  await daemon.hyperctl(['start', 'stays']);
  await eventually('it finds its file', async () =>
    /^kept$/m.test((await daemon.hyperctl(['logs', 'stays'])).stdout),
  );
  await daemon.hyperctl(['rm', 'stays']);
});

test('an image that is removed takes its machines with it, and is gone from the disk', async () => {
  await daemon.hyperctl(['rm', '-a']);
  await waiting(ready);
  const rootfs = join(daemon.root, 'images/rootfs');
  const before = readdirSync(rootfs).length;
  for (const name of ['twin0', 'twin1', 'busybox'])
    assert.equal((await daemon.hyperctl(['rmi', name])).code, 0, name);
  assert.doesNotMatch(await info('Pool machines'), ready);
  assert.ok(readdirSync(rootfs).length < before);
});

test('a daemon that ends takes its waiting machines with it, and one that dies leaves them to the next', async () => {
  await waiting(plain);
  await daemon.kill();
  const orphans = daemon.machinePids();
  assert.ok(orphans.length > 0);
  await daemon.restart();
  await eventually('they are ended', () => !daemon.machinePids().some((pid) => orphans.includes(pid)));
  await waiting(plain);
  await daemon.terminate();
  assert.deepEqual(daemon.machinePids(), []);
  assert.deepEqual(readdirSync(join(daemon.root, 'machines')), []);
});

test('the pool can be turned off, and what should wait be told as the original has it', async () => {
  const config = join(daemon.root, 'config');
  writeFileSync(config, 'VmFactoryPolicy={"cache":2,"template":true,"cpu":2,"memory":64}\n');
  await using other = await startDaemon({ pool: true, args: ['--config', config] });
  await eventually(
    'that two wait, and no other',
    async () =>
      /^ {2}Pool machines: 2 CPU 64 MiB, 2 CPU 64 MiB$/m.test((await other.hyperctl(['info'])).stdout),
    REFILL_MS,
  );
  await other.terminate();
  assert.deepEqual(other.machinePids(), []);
  await using off = await startDaemon({ pool: true, args: ['--pool-max', '0', '--config', config] });
  assert.match((await off.hyperctl(['info'])).stdout, /^ {2}Pool: off$/m);
});
