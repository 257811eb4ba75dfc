// What programs made for the gRPC service of the original rely on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import type { TestDaemon } from './support/daemon.ts';
import { startRegistry } from './support/registry.ts';
import { RpcClient } from './support/rpc.ts';
import { atStart, shared, sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon({ args: ['--grpc-host', '127.0.0.1:0'] });
let rpc: RpcClient;
let shell: string;
let terminal: string;
atStart(async () => {
  rpc = shared(new RpcClient(addressOf(daemon)));
  await rpc.call('podCreate', {
    podID: 'shells',
    podSpec: {
      resource: { vcpu: 1, memory: 64 },
      labels: { kept: 'yes' },
      containers: [
        { name: 'shell', image: 'busybox', ulimits: [{ Name: 'NOFILE', Hard: 99n, Soft: 77n }] },
        { name: 'terminal', image: 'busybox', tty: true },
      ],
    },
  });
  await rpc.call('podStart', { podID: 'shells' });
  const { podInfo } = await rpc.call('podInfo', { podID: 'shells' });
  [shell = '', terminal = ''] = podInfo?.status?.containerStatus.map(({ containerID }) => containerID) ?? [];
});

/** The log tells which port it got. */
function addressOf({ log }: TestDaemon): string {
  const [, address] = /"grpc":"([^"]+)"/.exec(log()) ?? [];
  assert.ok(address, log());
  return address;
}

const phase = async (podID: string): Promise<string | undefined> =>
  (await rpc.call('podInfo', { podID })).podInfo?.status?.phase;

/** The payloads of a stream in frames, by their stream: 1 stdout, 2 stderr. */
function deframe(bytes: Uint8Array): Record<number, string> {
  const texts: Record<number, string> = {};
  for (let rest = Buffer.from(bytes); rest.length > 0; ) {
    const [stream = 0, end] = [rest[0], 8 + rest.readUInt32BE(4)];
    texts[stream] = (texts[stream] ?? '') + rest.subarray(8, end).toString();
    rest = rest.subarray(end);
  }
  return texts;
}

/** Runs a command in the container "shell": what it wrote, and the exit code. */
async function exec(
  command: string[],
  input = '',
): Promise<{ output: Record<number, string>; code: number }> {
  const { execID } = await rpc.call('execCreate', { containerID: 'shell', command });
  using session = rpc.open('execStart');
  session.send({ containerID: 'shell', execID, stdin: Buffer.from(input) });
  session.end();
  const parts: Uint8Array[] = [];
  for (let next = await session.next(); next; next = await session.next()) parts.push(next.stdout);
  const { exitCode } = await rpc.call('wait', { container: 'shell', processId: execID });
  return { output: deframe(Buffer.concat(parts)), code: exitCode };
}

test('the daemon answers, and tells of itself', async () => {
  assert.equal((await rpc.call('ping', {})).hyperdStats, 'OK');
  const { version, apiVersion } = await rpc.call('version', {});
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.equal(apiVersion, '0.1.0');
  const info = await rpc.call('info', {});
  assert.deepEqual([info.pods, info.containers, info.executionDriver], [1n, 2, 'qemu']);
  assert.ok(info.memTotal > 0n && info.images > 0 && info.dstatus.length > 0);
});

test('pods, containers and machines are listed, and by pod and machine', async () => {
  const { podList } = await rpc.call('podList', {});
  const [pod] = podList;
  assert.deepEqual([podList.length, pod?.podID, pod?.status], [1, 'shells', 'running']);
  assert.ok(pod && pod.createdAt > 1_000_000_000n && pod.labels.kept === 'yes');
  const { vmList } = await rpc.call('vMList', { podID: 'shells' });
  assert.deepEqual(
    vmList.map(({ vmID, podID, status }) => [vmID, podID, status]),
    [[pod.vmID, 'shells', 'associated']],
  );
  const { containerList } = await rpc.call('containerList', { vmID: pod.vmID });
  assert.deepEqual(
    containerList.map(({ containerID, containerName, status }) => [containerID, containerName, status]),
    [
      [shell, 'shell', 'running'],
      [terminal, 'terminal', 'running'],
    ],
  );
  assert.deepEqual((await rpc.call('containerList', { podID: 'other' })).containerList, []);
});

test('a pod is described with specification and status of its containers', async () => {
  const { podInfo } = await rpc.call('podInfo', { podID: 'shells' });
  assert.deepEqual([podInfo?.kind, podInfo?.apiVersion, podInfo?.spec?.memory], ['Pod', '1.17', 64]);
  assert.equal(podInfo?.status?.phase, 'Running');
  assert.equal(podInfo.spec?.containers[0]?.name, '/shell');
  assert.ok(podInfo.status.containerStatus[0]?.running?.startedAt);
  assert.equal((await exec(['sh', '-c', 'ulimit -n'])).output[1], '77\n');
});

test('the shell of an image without a terminal answers an attached client in frames', async () => {
  using session = rpc.open('attach');
  session.send({ containerID: shell });
  session.send({ data: Buffer.from('echo Hello Hyper\n') });
  const answer = await session.next();
  assert.deepEqual(deframe(answer?.data ?? Buffer.of()), { 1: 'Hello Hyper\n' });
  const logs = await rpc.collect('containerLogs', { container: shell, stdout: true, stderr: true });
  assert.deepEqual(deframe(Buffer.concat(logs.map(({ log }) => log))), { 1: 'Hello Hyper\n' });
});

test('a shell with a terminal answers raw, and its window can be resized', async () => {
  await rpc.call('tTYResize', { containerID: terminal, width: 91, height: 17 });
  using session = rpc.open('attach');
  session.send({ containerID: 'terminal', data: Buffer.from('stty size\n') });
  let text = '';
  while (!text.includes('17 91')) {
    const next = await session.next();
    assert.ok(next, `the session ended after ${JSON.stringify(text)}`);
    text += Buffer.from(next.data).toString();
  }
  await refused(rpc.call('tTYResize', { containerID: terminal, width: 0, height: 17 }), 'INVALID_ARGUMENT');
});

test('logs are followed until the client goes', async () => {
  const stream = rpc.follow('containerLogs', { container: shell, stdout: true, follow: true, tail: '0' });
  const [line] = await Promise.all([
    stream[Symbol.asyncIterator]().next(),
    (async () => {
      using session = rpc.open('attach');
      session.send({ containerID: shell, data: Buffer.from('sleep 1; echo followed\n') });
      await session.next();
    })(),
  ]);
  assert.deepEqual(deframe(line.value.log), { 1: 'followed\n' });
  stream.on('error', () => undefined); // that it was canceled
  stream.cancel();
});

test('an exec gets its input, its output comes in frames, Wait tells its exit code', async () => {
  assert.deepEqual(await exec(['sh', '-c', 'cat; echo no >&2; exit 3'], 'typed'), {
    output: { 1: 'typed', 2: 'no\n' },
    code: 3,
  });
  const missing = await exec(['no-such-program']);
  assert.equal(missing.code, 127);
  assert.match(missing.output[2] ?? '', /no-such-program/);
});

test('much output of an exec arrives whole at a client that begins to read late', async () => {
  const command = ['cat', '/bin/busybox', '/bin/busybox', '/bin/busybox', '/bin/busybox'];
  const { execID } = await rpc.call('execCreate', { containerID: 'shell', command });
  using session = rpc.open('execStart');
  session.send({ containerID: 'shell', execID });
  await rpc.call('ping', {});
  let bytes = 0;
  for (let next = await session.next(); next; next = await session.next()) bytes += next.stdout.length - 8;
  assert.equal(bytes, 4 * Number((await exec(['stat', '-c', '%s', '/bin/busybox'])).output[1]));
});

test('an exec that a client kills has exit code 0, as the original tells', async () => {
  const command = ['sh', '-c', 'top'];
  const { execID } = await rpc.call('execCreate', { containerID: 'shell', command });
  using session = rpc.open('execStart');
  session.send({ containerID: 'shell', execID });
  await rpc.call('execSignal', { containerID: 'shell', execID, signal: 9n });
  const { exitCode } = await rpc.call('wait', { container: 'shell', processId: execID });
  assert.equal(exitCode, 0);
});

test('a command runs in the machine outside of all containers; its exit code comes last', async () => {
  using session = rpc.open('execVM');
  session.send({ podID: 'shells', command: ['/sbin/busybox', 'sh', '-c', 'echo aaa; exit 7'] });
  session.end();
  const [output, last, none] = [await session.next(), await session.next(), await session.next()];
  assert.deepEqual(
    [Buffer.from(output?.stdout ?? []).toString(), last?.exitCode, none],
    ['aaa\n', 7, undefined],
  );
});

test('labels are set, and replaced only where that is asked for', async () => {
  await rpc.call('setPodLabels', { podID: 'shells', override: true, labels: { foo: 'bar' } });
  await refused(rpc.call('setPodLabels', { podID: 'shells', labels: { foo: 'no' } }), 'INVALID_ARGUMENT');
  const { podInfo } = await rpc.call('podInfo', { podID: 'shells' });
  assert.deepEqual(podInfo?.spec?.labels, { foo: 'bar', kept: 'yes' });
});

test('a pod is paused and goes on', async () => {
  await rpc.call('podPause', { podID: 'shells' });
  assert.equal(await phase('shells'), 'Paused');
  await rpc.call('podUnpause', { podID: 'shells' });
  assert.equal(await phase('shells'), 'Running');
});

test('a pod tells what it has used', async () => {
  const { podStats } = await rpc.call('podStats', { podID: 'shells' });
  assert.ok(podStats?.cpu?.usage && podStats.cpu.usage.total > 0n && podStats.cpu.usage.perCpu.length === 1);
  assert.ok(podStats.memory && podStats.memory.usage > 0n);
  assert.ok(podStats.timestamp > 1_000_000_000n);
  assert.ok(podStats.filesystem.every(({ limit }) => limit > 0n));
  assert.deepEqual(
    podStats.containersStats.map(({ containerID }) => containerID).sort(),
    [shell, terminal].sort(),
  );
});

test('services of a pod are added, listed, replaced and removed', async () => {
  const service = (serviceIP: string) => ({
    ...{ serviceIP, servicePort: 80, protocol: 'TCP' },
    hosts: [{ hostIP: '192.168.23.2', hostPort: 8080 }],
  });
  const listed = async () =>
    (await rpc.call('serviceList', { podID: 'shells' })).services.map(({ serviceIP }) => serviceIP).sort();
  await rpc.call('serviceUpdate', { podID: 'shells', services: [service('10.10.0.100')] });
  assert.deepEqual(await listed(), ['10.10.0.100']);
  await rpc.call('serviceAdd', { podID: 'shells', services: [service('10.10.0.22')] });
  assert.deepEqual(await listed(), ['10.10.0.100', '10.10.0.22']);
  await rpc.call('serviceDelete', { podID: 'shells', services: [service('10.10.0.22')] });
  assert.deepEqual(await listed(), ['10.10.0.100']);
});

test('ports of a pod are published, listed and taken back', async () => {
  const portMappings = [{ containerPort: '80', hostPort: '', protocol: 'tcp' }];
  await rpc.call('portMappingAdd', { podID: 'shells', portMappings });
  const listed = await rpc.call('portMappingList', { podID: 'shells' });
  assert.deepEqual(
    listed.portMappings.map(({ containerPort, protocol }) => [containerPort, protocol]),
    [['80', 'tcp']],
  );
  assert.match(listed.portMappings[0]?.hostPort ?? '', /^\d+$/);
  await rpc.call('portMappingDel', { podID: 'shells', portMappings });
  assert.deepEqual((await rpc.call('portMappingList', { podID: 'shells' })).portMappings, []);
});

test('a container is added, renamed, started, killed and removed', async () => {
  const { containerID } = await rpc.call('containerCreate', {
    podID: 'shells',
    containerSpec: { image: 'busybox', command: ['sleep', '600'] },
  });
  const info = async () => (await rpc.call('containerInfo', { container: containerID })).containerInfo;
  assert.equal((await info())?.podID, 'shells');
  const oldContainerName = (await info())?.container?.name.slice(1) ?? '';
  await rpc.call('containerRename', { oldContainerName, newContainerName: 'busybox0123456789' });
  assert.equal((await info())?.container?.name, '/busybox0123456789');
  await rpc.call('containerStart', { containerId: containerID });
  await rpc.call('containerSignal', { podID: 'shells', containerID, signal: 9n });
  assert.equal((await rpc.call('wait', { container: containerID })).exitCode, 137);
  assert.equal((await info())?.status?.phase, 'failed');
  await rpc.call('containerStart', { containerId: containerID });
  await rpc.call('containerStop', { containerID, timeout: 0n });
  assert.equal((await info())?.status?.terminated?.exitCode, 137);
  await rpc.call('containerRemove', { containerId: containerID });
  await refused(info(), 'NOT_FOUND');
});

test('an image is pushed, removed, pulled and listed', async () => {
  await using registry = await startRegistry();
  const name = `${registry.host}/alpine`;
  const listed = async () => (await rpc.call('imageList', {})).imageList.flatMap(({ repoTags }) => repoTags);
  await daemon.hyperctl(['tag', 'busybox', `${name}:latest`]);
  const pushed = await rpc.collect('imagePush', { repo: name, tag: 'latest' });
  assert.match(Buffer.concat(pushed.map(({ data }) => data)).toString(), /"Digest":"sha256:/);
  const { images } = await rpc.call('imageRemove', { image: name });
  assert.ok(images.some(({ untaged }) => untaged === `${name}:latest`));
  assert.ok(!(await listed()).includes(`${name}:latest`));
  const pulled = await rpc.collect('imagePull', { image: name, tag: 'latest' });
  assert.match(Buffer.concat(pulled.map(({ data }) => data)).toString(), /Downloaded|up to date/);
  assert.ok((await listed()).includes(`${name}:latest`));
  await refused(rpc.collect('imagePull', { image: name, tag: 'missing' }), 'NOT_FOUND');
});

test('an error has the code and the text for its cause', async () => {
  await refused(
    rpc.call('podInfo', { podID: 'none' }),
    'NOT_FOUND',
    /Can not get Pod info with pod ID\(none\)/,
  );
  await refused(rpc.call('podRemove', {}), 'INVALID_ARGUMENT', /podID/);
  await refused(rpc.call('podCreate', {}), 'INVALID_ARGUMENT', /specification/);
  await refused(rpc.call('podUnpause', { podID: 'shells' }), 'FAILED_PRECONDITION');
  await refused(rpc.call('podCreate', { podSpec: { id: 'shells' } }), 'ALREADY_EXISTS');
  await refused(rpc.collect('containerLogs', { container: shell }), 'INVALID_ARGUMENT', /stdout/);
  await refused(rpc.call('execSignal', { containerID: shell, execID: 'none', signal: 9n }), 'NOT_FOUND');
});

test('a pod that was stopped has failed, and is gone once removed', async () => {
  await rpc.call('podStop', { podID: 'shells' });
  assert.equal(await phase('shells'), 'Failed');
  const { code } = await rpc.call('podRemove', { podID: 'shells' });
  assert.equal(code, 0);
  assert.deepEqual((await rpc.call('podList', {})).podList, []);
});

test('a daemon that ends does not wait for its clients', async () => {
  const { podID } = await rpc.call('podCreate', { podSpec: { containers: [{ image: 'busybox' }] } });
  await rpc.call('podStart', { podID });
  const { podInfo } = await rpc.call('podInfo', { podID });
  const container = podInfo?.status?.containerStatus[0]?.containerID ?? '';
  const waiting = assert.rejects(rpc.call('wait', { container }));
  await rpc.call('ping', {}); // the call before it has arrived then
  await daemon.terminate();
  await waiting;
  await daemon.restart();
});

type Refusal = 'INVALID_ARGUMENT' | 'NOT_FOUND' | 'FAILED_PRECONDITION' | 'ALREADY_EXISTS';

/** A call is refused with this code. */
async function refused(call: Promise<unknown>, code: Refusal, text = /./): Promise<void> {
  await assert.rejects(call, (error: { code?: number; details?: string }) => {
    assert.equal(error.code, status[code], String(error.details));
    assert.match(String(error.details), text);
    return true;
  });
}
