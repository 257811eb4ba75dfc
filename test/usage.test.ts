import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createClient } from '../packages/client/src/index.ts';
import { collect, eventually } from './support/daemon.ts';
import { rest } from './support/rest.ts';
import { atStart, sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();
atStart(async () => {
  const script =
    'echo worker:x:4000:4000::/:/bin/sh >>/etc/passwd; sleep 1001 & su worker -c "exec sleep 1002" & exec sleep 1003';
  const file = join(daemon.root, 'pod.json');
  const containers = [
    { name: 'several', image: 'busybox', command: ['sh', '-c', script] },
    {
      name: 'writer',
      image: 'busybox',
      command: ['sh', '-c', 'dd if=/dev/zero of=/f bs=1M count=3; sync; sleep 1004'],
    },
  ];
  writeFileSync(file, JSON.stringify({ id: 'pair', containers }));
  const { code, stderr } = await daemon.hyperctl(['run', '-p', file]);
  assert.equal(code, 0, stderr);
});

const rowsOf = (text: string): string[][] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {3,}/));

test('top lists the processes of a container with the ids and users that it knows, without a program of the image', async () => {
  assert.equal((await daemon.hyperctl(['exec', 'several', 'rm', '/bin/ps'])).code, 0);
  let rows: string[][] = [];
  await eventually('all of them run', async () => {
    rows = rowsOf((await daemon.hyperctl(['top', 'several'])).stdout);
    return ['1001', '1002', '1003'].every((number) => rows.some((row) => row.at(-1) === `sleep ${number}`));
  });
  assert.deepEqual(rows[0], ['CONTAINER', 'PID', 'PPID', 'USER', 'STARTED', 'TIME', 'COMMAND']);
  const row = (line: string): string[] => rows.find((cells) => cells.at(-1) === line) ?? [];
  assert.deepEqual(row('sleep 1003').slice(0, 4), ['several', '1', '0', 'root']);
  assert.deepEqual([row('sleep 1001')[2], row('sleep 1001')[3]], ['1', 'root']);
  assert.equal(row('sleep 1002')[3], 'worker');
  assert.match(row('sleep 1001')[5] ?? '', /^00:0\d:\d\d$/);
  const pids = (await daemon.hyperctl(['exec', 'several', 'sh', '-c', 'cd /proc; echo [0-9]*'])).stdout
    .trim()
    .split(' ');
  for (const [, pid = ''] of rows.slice(1)) assert.ok(pids.includes(pid), `${pid} of ${pids}`);
});

test('top of a pod has all its containers, and JSON for programs', async () => {
  const rows = rowsOf((await daemon.hyperctl(['top', 'pair'])).stdout);
  assert.deepEqual([...new Set(rows.slice(1).map(([container]) => container))].sort(), ['several', 'writer']);
  const lines = (await daemon.hyperctl(['top', '--format', 'json', 'writer'])).stdout.trim().split('\n');
  const [first] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual([first?.container, first?.pid, first?.uid, first?.user], ['writer', 1, 0, 'root']);
  assert.ok(Math.abs(Date.parse(String(first?.started_at)) - Date.now()) < 600_000);
  assert.ok(Number(first?.memory) > 1000 && Number(first?.cpu_time) >= 0);
});

test('hostile names, command lines and user lists of a container do no harm', async () => {
  const script = [
    'rm /etc/passwd; ln -s /proc/kmsg /etc/passwd',
    `printf '#!/bin/sh\\nsleep 1005\\n:' >"/tmp/)) R 0"; chmod +x /tmp/*; "/tmp/)) R 0" &`,
    `sh -c 'sleep 1006; :' "$(printf 'a\\377\\033[2J')" &`,
    `sh -c "sleep 1007; : $(head -c 60000 /dev/zero | tr '\\0' x)" &`,
    'exec sleep 1008',
  ].join('\n');
  await daemon.hyperctl(['run', '-d', '--name', 'hostile', 'busybox', 'sh', '-c', script]);
  let text = '';
  await eventually('all of them run', async () => {
    text = (await daemon.hyperctl(['top', 'hostile'])).stdout;
    // As commands of their own: the shell's command line has the same words.
    return ['1005', '1006', '1007', '1008'].every((number) => text.includes(`  sleep ${number}\n`));
  });
  assert.ok(!text.includes('\x1b'));
  assert.match(text, /\/bin\/sh \/tmp\/\)\) R 0\n/);
  assert.ok(
    rowsOf(text).every((row) => row[3] === 'USER' || row[3] === '0'),
    text,
  );
  assert.ok(text.split('\n').every((line) => line.length < 500));
  await daemon.hyperctl(['rm', 'hostile']);
});

test('stats shows what pods use, once, as it goes on, and for programs', async () => {
  const rows = rowsOf((await daemon.hyperctl(['stats', '--no-stream'])).stdout);
  assert.deepEqual(rows[0], ['POD', 'CPU %', 'MEM USAGE / LIMIT', 'NET I/O', 'BLOCK I/O', 'PIDS']);
  const [pod, cpu, memory, net, block, pids] = rows[1] ?? [];
  assert.equal(pod, 'pair');
  assert.match(cpu ?? '', /^\d+\.\d\d%$/);
  for (const cell of [memory, net, block]) assert.match(cell ?? '', /^[\d.]+ [kMG]?B \/ [\d.]+ [kMG]?B$/);
  assert.ok(Number(pids) >= 4);
  const { stdout } = await daemon.hyperctl(['stats', '--no-stream', '--format', 'json', '-c', 'pair']);
  const each = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(each.length, 2);
  assert.ok(
    each.every(({ pod: of, container }) => of === 'pair' && /^[0-9a-f]{64}$/.test(String(container))),
  );
  const names = rowsOf((await daemon.hyperctl(['stats', '--no-stream', '-c'])).stdout).map(
    ([, name]) => name,
  );
  assert.deepEqual(names.slice(1).sort(), ['several', 'writer']);
  const live = daemon.spawnHyperctl(['stats', 'pair']);
  let text = '';
  live.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await eventually('it goes on', () => (text.match(/CPU %/g) ?? []).length >= 2);
  live.kill();
  await collect(live);
});

test('block figures of the disks are counted outside of the guest', async () => {
  using client = createClient(`unix://${daemon.socket}`);
  let stats = await client.stats('pair');
  const written = (): number =>
    stats.block.io_service_bytes_recursive.find(({ name }) => name === 'scratch')?.stat.Write ?? 0;
  await eventually('3 MiB are on the disk', async () => {
    stats = await client.stats('pair');
    return written() >= 3 << 20;
  });
  const rootfs = stats.block.io_service_bytes_recursive.find(({ name }) => name.startsWith('rootfs-'));
  assert.ok((rootfs?.stat.Read ?? 0) > 100_000 && rootfs?.stat.Write === 0, JSON.stringify(stats.block));
  assert.equal(stats.filesystem[0]?.device, 'scratch');
  assert.ok((stats.filesystem[0]?.usage ?? 0) >= 3 << 20);
});

test('stats and top of what does not run are refused with the reason', async () => {
  await daemon.hyperctl(['create', '--name', 'idle', 'busybox', 'true']);
  for (const [args, message] of [
    [['stats', 'idle'], /non-running pod \(idle\)/],
    [['stats', 'nonesuch'], /nonesuch/],
    [['top', 'idle'], /container "idle" is not running/],
    [['top', 'nonesuch'], /nonesuch/],
  ] as const) {
    const { code, stderr } = await daemon.hyperctl(args);
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
  assert.equal((await rest(daemon.socket, 'GET /container/top')).status, 400);
  await daemon.hyperctl(['rm', 'idle']);
});

test('wait prints the exit codes of containers and pods in the order given, whichever ends first', async () => {
  const file = join(daemon.root, 'ends.json');
  const container = (name: string, script: string): object => ({
    name,
    image: 'busybox',
    command: ['sh', '-c', script],
  });
  const containers = [container('last', 'read x; exit 0'), container('first', 'exit 5')];
  writeFileSync(file, JSON.stringify({ id: 'ends', containers }));
  assert.equal((await daemon.hyperctl(['run', '-p', file])).code, 0);
  using client = createClient(`unix://${daemon.socket}`);
  const next = client.waitPod('ends', { next: true });
  const waiting = daemon.spawnHyperctl(['wait', 'ends', 'nonesuch', 'first', 'last']);
  const all = collect(waiting);
  await daemon.hyperctl(['wait', 'first']);
  await daemon.hyperctl(['attach', 'last'], { input: 'go on\n' });
  const result = await all;
  assert.deepEqual([result.code, result.stdout], [1, '5\n5\n0\n']);
  assert.match(result.stderr, /nonesuch/);
  const end = await next;
  assert.deepEqual([end.podID, end.exitCode, end.status.phase], ['ends', 5, 'Failed']);
  assert.equal((await client.waitPod('ends')).exitCode, 5, 'at once, when it has ended');
  assert.equal((await rest(daemon.socket, 'GET /pod/wait?podId=ends&condition=bad')).status, 400);
  assert.equal((await rest(daemon.socket, 'GET /pod/wait?podId=nonesuch')).status, 404);
  const removed = client.waitPod('ends', { next: true });
  await daemon.hyperctl(['rm', 'ends']);
  assert.equal((await removed).exitCode, 5);
});
