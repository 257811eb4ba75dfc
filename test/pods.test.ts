import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { collect, eventually } from './support/daemon.ts';
import { sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();

const sh = (script: string): string[] => ['run', '--rm', 'busybox', 'sh', '-c', script];

test("run prints the container's output, and the kernel is the guest's", async () => {
  const result = await daemon.hyperctl(['run', '--rm', 'busybox', 'uname', '-r']);
  assert.equal(result.code, 0, result.stderr);
  assert.match(result.stdout, /^\d+\.\d+\.\d+\S*\n$/);
  assert.notEqual(result.stdout.trim(), release());
});

test('stdout and stderr stay apart', async () => {
  const result = await daemon.hyperctl(sh('echo out; echo err >&2'));
  assert.deepEqual(result, { code: 0, stdout: 'out\n', stderr: 'err\n' });
});

for (const [script, code] of [
  ['exit 17', 17],
  ['sleep 9 & kill -9 $!; wait $!', 137],
] as const) {
  test(`the exit code of "${script}" is ${code}`, async () => {
    assert.equal((await daemon.hyperctl(sh(script))).code, code);
  });
}

test('a command that is not in the image ends with 127 and says so', async () => {
  const result = await daemon.hyperctl(['run', '--rm', 'busybox', 'no-such-program']);
  assert.equal(result.code, 127);
  assert.match(result.stderr, /no-such-program.*not found/);
});

test('stdin reaches the container, and its end too', async () => {
  const result = await daemon.hyperctl(['run', '--rm', 'busybox', 'wc', '-c'], {
    input: 'x'.repeat(300_000),
  });
  assert.equal(result.stdout.trim(), '300000');
});

test('options of run reach the process', async () => {
  const args = [
    'run',
    '--rm',
    '--env',
    'A=b c',
    '--workdir',
    '/made/here',
    'busybox',
    'sh',
    '-c',
    'echo $A; pwd',
  ];
  assert.equal((await daemon.hyperctl(args)).stdout, 'b c\n/made/here\n');
});

test('several megabytes of output arrive whole', async () => {
  const result = await daemon.hyperctl(
    sh('dd if=/dev/zero bs=64k count=160 2>/dev/null | md5sum; yes 12345678901234 | head -c 6000000'),
  );
  assert.equal(result.code, 0);
  assert.equal(result.stdout.length, 36 + 6_000_000);
});

test('a detached pod is listed, can be asked, attached to, stopped, started again and removed', async () => {
  const run = await daemon.hyperctl([
    'run',
    '-d',
    '--name',
    'web',
    'busybox',
    'sh',
    '-c',
    'echo up; exec sleep 1000',
  ]);
  assert.match(run.stdout, /web/);
  assert.match((await daemon.hyperctl(['list'])).stdout, /^web\s+web\s+vm-\w+\s+running/m);
  assert.match((await daemon.hyperctl(['list', 'container'])).stdout, /web\s+running/);
  const exec = await daemon.hyperctl(['exec', 'web', 'sh', '-c', 'echo in >/kept; cat /kept; exit 3']);
  assert.deepEqual([exec.code, exec.stdout], [3, 'in\n']);
  await eventually(
    'the log has the line',
    async () => (await daemon.hyperctl(['logs', 'web'])).stdout === 'up\n',
  );
  assert.equal((await daemon.hyperctl(['stop', 'web'])).code, 0);
  assert.match((await daemon.hyperctl(['list'])).stdout, /^web\s+web\s+failed/m);
  assert.equal((await daemon.hyperctl(['start', 'web'])).code, 0);
  const kept = await daemon.hyperctl(['exec', 'web', 'cat', '/kept']);
  assert.equal(kept.stdout, 'in\n', 'the writable layer outlives stop and start');
  assert.equal((await daemon.hyperctl(['rm', 'web'])).code, 0);
  assert.doesNotMatch((await daemon.hyperctl(['list'])).stdout, /web/);
});

test('several containers of one pod share its network and are addressed each', async () => {
  const { writeFileSync } = await import('node:fs');
  const file = join(daemon.root, 'two.pod');
  writeFileSync(
    file,
    JSON.stringify({
      id: 'two',
      containers: [
        { name: 'server', image: 'busybox', command: ['nc', '-l', '-p', '7000', '-e', 'echo', 'served'] },
        { name: 'client', image: 'busybox', command: ['sleep', '1000'] },
      ],
    }),
  );
  const run = await daemon.hyperctl(['run', '-p', file]);
  assert.equal(run.code, 0, run.stderr);
  let answer = '';
  await eventually('the client reaches the server', async () => {
    answer = (await daemon.hyperctl(['exec', 'client', 'nc', '127.0.0.1', '7000'])).stdout;
    return answer !== '';
  });
  assert.equal(answer, 'served\n');
  await daemon.hyperctl(['rm', 'two']);
});

test('logs follow, tail and carry time stamps', async () => {
  await daemon.hyperctl([
    'run',
    '-d',
    '--name',
    'talk',
    'busybox',
    'sh',
    '-c',
    'for i in 1 2 3 4 5; do echo $i; sleep 0.2; done; printf six',
  ]);
  const followed = await daemon.hyperctl(['logs', '-f', 'talk']);
  assert.equal(followed.stdout, '1\n2\n3\n4\n5\nsix\n');
  assert.equal((await daemon.hyperctl(['logs', '--tail', '2', 'talk'])).stdout, '5\nsix\n');
  assert.match(
    (await daemon.hyperctl(['logs', '-t', '--tail', '1', 'talk'])).stdout,
    /^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z six\n$/,
  );
  await daemon.hyperctl(['rm', 'talk']);
});

test('attach joins a running container and sends it input', async () => {
  await daemon.hyperctl(['run', '-d', '--name', 'cat', 'busybox', 'cat']);
  const attached = await daemon.hyperctl(['attach', 'cat'], { input: 'hello\n' });
  assert.deepEqual([attached.code, attached.stdout], [0, 'hello\n']);
  await daemon.hyperctl(['rm', 'cat']);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} to "hyperctl run" reaches the container, which is removed`, async () => {
    const script = `trap 'echo caught; exit 5' INT TERM; echo ready; while :; do sleep 0.1; done`;
    const run = daemon.spawnHyperctl([
      'run',
      '--rm',
      '--name',
      `sig-${signal.toLowerCase()}`,
      'busybox',
      'sh',
      '-c',
      script,
    ]);
    run.stdout?.once('data', () => run.kill(signal));
    const result = await collect(run);
    assert.deepEqual([result.code, result.stdout], [5, 'ready\ncaught\n']);
    assert.doesNotMatch((await daemon.hyperctl(['list'])).stdout, /sig-/);
  });
}

test('a second daemon on the same root is refused, and the first goes on', async () => {
  const { spawn } = await import('node:child_process');
  const second = await collect(
    spawn(join(import.meta.dirname, '../bin/hyperd'), [
      '--root',
      daemon.root,
      '--host',
      `unix://${daemon.root}/second.sock`,
    ]),
  );
  assert.notEqual(second.code, 0);
  assert.match(second.stderr + second.stdout, /another hyperd/);
  assert.equal((await daemon.hyperctl(['info'])).code, 0);
});

test('kill -9 of the daemon: running pods go on, no line is lost or doubled, the exit code is right', async () => {
  const script = 'i=0; while [ $i -lt 600 ]; do echo line $i; i=$((i+1)); sleep 0.01; done; exit 9';
  await daemon.hyperctl(['run', '-d', '--name', 'lines', 'busybox', 'sh', '-c', script]);
  const [machine] = daemon.machinePids();
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setTimeout(resolve, 700));
    await daemon.kill();
    await daemon.restart();
    assert.match(
      (await daemon.hyperctl(['list'])).stdout,
      /^lines\s+lines\s+vm-\w+\s+running/m,
      daemon.log(),
    );
    assert.deepEqual(daemon.machinePids(), [machine]);
  }
  await daemon.hyperctl(['attach', 'lines']);
  const wait = await daemon.hyperctl(['wait', 'lines']);
  assert.equal(wait.stdout.trim(), '9');
  const expected = Array.from({ length: 600 }, (_, i) => `line ${i}\n`).join('');
  assert.equal((await daemon.hyperctl(['logs', 'lines'])).stdout, expected);
  await daemon.hyperctl(['rm', 'lines']);
});

test('a daemon that is asked to end lets pods go on, and the next one takes them up', async () => {
  await daemon.hyperctl(['run', '-d', '--name', 'stays', 'busybox', 'sh', '-c', 'read line; echo got $line']);
  const pids = daemon.machinePids();
  await daemon.terminate();
  assert.deepEqual(daemon.machinePids(), pids);
  await daemon.restart();
  const attached = await daemon.hyperctl(['attach', 'stays'], { input: 'word\n' });
  assert.equal(attached.stdout, 'got word\n', daemon.log());
  assert.equal((await daemon.hyperctl(['wait', 'stays'])).stdout.trim(), '0');
  await daemon.hyperctl(['rm', 'stays']);
});

test('ten pods at once, three of their machines killed, all removed: nothing is left', async () => {
  const names = Array.from({ length: 10 }, (_, i) => `many-${i}`);
  const runs = await Promise.all(
    names.map((name) => daemon.hyperctl(['run', '-d', '--name', name, 'busybox', 'sleep', '1000'])),
  );
  for (const run of runs) assert.equal(run.code, 0, run.stderr);
  assert.equal(daemon.machinePids().length, 10);
  for (const pid of daemon.machinePids().slice(0, 3)) process.kill(pid, 'SIGKILL');
  await eventually('three pods have failed', async () => {
    return ((await daemon.hyperctl(['list'])).stdout.match(/failed/g) ?? []).length === 3;
  });
  const removed = await daemon.hyperctl(['rm', '-a']);
  assert.equal(removed.code, 0, removed.stderr);
  assert.deepEqual(daemon.machinePids(), []);
  assert.deepEqual(readdirSync(join(daemon.root, 'machines')), []);
  assert.deepEqual(readdirSync(join(daemon.root, 'pods')), []);
});
