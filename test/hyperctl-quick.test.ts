import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Client, createClient } from '../packages/client/src/index.ts';
import { type CommandResult, collect, eventually, startDaemon, type TestDaemon } from './support/daemon.ts';

// The quick commands are a program of their own: what it does has to be what hyperctl on Node does.
const WHOLE = { HYPERCTL_QUICK: 'no' };
const NODE = join(import.meta.dirname, '../build/host/hyperctl');

let daemon: TestDaemon;
let client: Client;
before(async () => {
  daemon = await startDaemon();
  client = createClient(`unix://${daemon.socket}`);
  await client.createPod({
    id: 'host',
    containers: [{ name: 'host', image: 'busybox', command: ['sleep', '100000'] }],
  });
  await client.startPod('host');
});
after(async () => {
  client[Symbol.dispose]();
  await daemon[Symbol.asyncDispose]();
});

/** Runs the quick program alone: where it leaves a command to the whole hyperctl, that is a program that says so. */
function quickly(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CommandResult> {
  const surroundings = { ...process.env, HYPER_HOST: `unix://${daemon.socket}`, ...env };
  return collect(spawn(NODE, ['/bin/echo', 'left to', ...args], { env: surroundings }));
}

const COMMANDS: readonly {
  readonly args: readonly string[];
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
}[] = [
  { args: ['exec', 'host', 'sh', '-c', 'echo out; echo err >&2; exit 3'] },
  { args: ['exec', '-i', '-d', '--attach', 'host', 'cat'], input: 'typed "quoted" \\ \n' },
  { args: ['exec', 'host', 'printf', '%s|', 'a b', '&=%', '"', '\\', '\t', ''] },
  { args: ['exec', 'host', 'nosuch'] },
  { args: ['exec', 'nothing', 'true'] },
  { args: ['exec', 'host'] },
  { args: ['exec', '-x', 'host', 'true'] },
  { args: ['exec', 'host', 'echo', 'Grüße'] },
  { args: ['exec', '-t', 'host', 'true'] },
  { args: ['run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 5'] },
  { args: ['run', '--rm', '-i', 'busybox', 'cat'], input: 'typed\n' },
  {
    args: [
      'run',
      '--rm',
      '-e',
      'A=b c',
      '--env=HERE',
      '--env',
      'GONE',
      '--workdir',
      '/tmp',
      'busybox',
      'sh',
      '-c',
      'env | grep -E "^(A|HERE|GONE)"; pwd',
    ],
    env: { HERE: '"as it is"' },
  },
  { args: ['run', '--rm', 'busybox', 'nosuch'] },
  { args: ['run', '--rm', 'nosuchimage', 'true'] },
  { args: ['run', '--rm', '--memory', 'much', 'busybox', 'true'] },
  { args: ['run', '--rm', '--name', '.', 'busybox', 'true'] },
  { args: ['run'] },
  { args: ['run', '-d', '--name', 'host', 'busybox', 'true'] },
  { args: ['run', '-d', 'nosuchimage', 'true'] },
  { args: ['rm', 'nothing'] },
  { args: ['rm', '-c', 'nothing'] },
  { args: ['rm'] },
  { args: ['stop', 'nothing'] },
  { args: ['stop', '--time', 'soon', 'host'] },
];

for (const { args, input, env } of COMMANDS) {
  test(`hyperctl ${args.join(' ')}: the same output and exit code with and without Node`, async () => {
    const quick = await daemon.hyperctl(args, { ...(input && { input }), env: { ...env } });
    const whole = await daemon.hyperctl(args, { ...(input && { input }), env: { ...env, ...WHOLE } });
    assert.deepEqual(quick, whole);
  });
}

test('what is left to the whole hyperctl, and what is not', async () => {
  const leaves = async (...args: string[]): Promise<boolean> =>
    (await quickly(args)).stdout.startsWith('left to');
  assert.equal(await leaves('exec', 'host', 'true'), false);
  assert.equal(await leaves('run', '--rm', 'busybox', 'true'), false);
  for (const args of [
    ['list'],
    ['exec', '-t', 'host', 'true'],
    ['exec', 'nothing', 'true'],
    ['run', '-d', 'nosuchimage', 'true'],
    ['rm', 'nothing'],
    ['rm', 'host', 'other'],
    ['stop', '-c', 'host'],
    ['run', '--volume', '/a:/b', 'busybox', 'true'],
    ['run', '--', 'busybox'],
    ['-H', 'tcp://127.0.0.1:1', 'exec', 'host', 'true'],
    ['-H', 'unix:///nothing/there', 'exec', 'host', 'true'],
    ['--help'],
    [],
  ]) {
    assert.equal(await leaves(...args), true, args.join(' '));
  }
});

test('a pod is described in the same words with and without Node', async () => {
  const args = [
    'run',
    '--name=NAME',
    '--cpu',
    '1',
    '--memory',
    '256M',
    '-e',
    'A=1',
    '--workdir',
    '/tmp',
    'busybox',
    'true',
  ];
  const described = async (name: string, env: NodeJS.ProcessEnv): Promise<unknown> => {
    const named = args.map((word) => word.replace('NAME', name));
    assert.equal((await daemon.hyperctl(named, { env })).code, 0);
    const { spec } = await client.podInfo(name);
    return JSON.parse(
      JSON.stringify(spec)
        .replaceAll(name, 'NAME')
        .replace(/"containerID":"[^"]*"/g, '"containerID":"ID"'),
    );
  };
  const [quick, whole] = [await described('one', {}), await described('two', WHOLE)];
  assert.deepEqual(quick, whole);
  await client.removePod('one');
  await client.removePod('two');
});

test('a pod is started in the background, stopped and removed with the same words', async () => {
  const life = async (name: string, env: NodeJS.ProcessEnv): Promise<string> => {
    let said = '';
    for (const args of [
      ['run', '-d', '--name', name, '--rm', 'busybox', 'true'],
      ['run', '-d', '--name', `${name}-2`, 'busybox', 'sleep', '1000'],
      ['stop', `${name}-2`],
      ['rm', `${name}-2`],
      ['run', '-d', '--name', `${name}-3`, 'busybox', 'nosuch'],
      ['rm', `${name}-3`],
    ]) {
      const { code, stdout, stderr } = await daemon.hyperctl(args, { env });
      said += `${code} ${stdout}${stderr}`.replaceAll(name, 'NAME').replace(/\d+ ms/, 'N ms');
    }
    await eventually(
      'gone',
      async () => !(await client.pods()).some(({ name: pod }) => pod.startsWith(name)),
    );
    return said;
  };
  const quick = await life('quick', {});
  assert.equal(quick, await life('whole', WHOLE));
  assert.match(quick, /^0 POD id is NAME\nTime to run a POD is N ms\n0 POD id/);
});

test('run without a name makes one of the image and ten digits', async () => {
  await quickly(['run', 'busybox', 'true']);
  const names = (await client.pods()).map(({ name }) => name);
  assert.ok(
    names.some((name) => /^busybox-\d{10}$/.test(name)),
    names.join(' '),
  );
});

test('megabytes through input and output come back whole, at the pace of a slow reader', async (context) => {
  const command = daemon.spawnHyperctl(['exec', 'host', 'cat']);
  context.after(() => command.kill());
  const block = Buffer.alloc(64 * 1024, 'every byte counts; ');
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  const write = async (): Promise<void> => {
    for (let index = 0; index < 64; index++) {
      sent.update(block);
      if (!command.stdin?.write(block)) await new Promise((resolve) => command.stdin?.once('drain', resolve));
    }
    command.stdin?.end();
  };
  const writing = write();
  // Read only now that every buffer on the way is full.
  await new Promise((resolve) => command.stdout?.once('readable', resolve));
  await eventually('full', () => command.stdin?.writableNeedDrain === true);
  for await (const chunk of command.stdout ?? []) received.update(chunk as Buffer);
  await writing;
  assert.equal(received.digest('hex'), sent.digest('hex'));
});

test('signals go to the container; a second one at once ends run, and the pod with --rm', async () => {
  const script = 'trap "echo told; exit 7" TERM; echo ready; while :; do sleep 0.1; done';
  const told = daemon.spawnHyperctl(['run', '--rm', '--name', 'signaled', 'busybox', 'sh', '-c', script]);
  told.stdout?.once('data', () => told.kill('SIGTERM'));
  assert.deepEqual(await collect(told), { code: 7, stdout: 'ready\ntold\n', stderr: '' });

  const deaf = daemon.spawnHyperctl([
    'run',
    '--rm',
    '--name',
    'deaf',
    'busybox',
    'sh',
    '-c',
    'trap "" INT; echo ready; sleep 1000',
  ]);
  deaf.stdout?.once('data', () => {
    deaf.kill('SIGINT');
    setTimeout(() => deaf.kill('SIGINT'), 100);
  });
  assert.equal((await collect(deaf)).code, 130);
  assert.ok(!(await client.pods()).some(({ name }) => name === 'deaf'));
});

test('a reader that goes ends run with 141, and the pod with --rm', async () => {
  const command = daemon.spawnHyperctl(['run', '--rm', '--name', 'unread', 'busybox', 'yes']);
  command.stdout?.once('data', () => command.stdout?.destroy());
  assert.equal(await new Promise((resolve) => command.once('exit', resolve)), 141);
  assert.ok(!(await client.pods()).some(({ name }) => name === 'unread'));
});

test('an exec that outlives its daemon tells its exit code to a client that asks the next one', async () => {
  const command = daemon.spawnHyperctl(['exec', 'host', 'sh', '-c', 'echo ready; sleep 4; exit 9']);
  await new Promise((resolve) => command.stdout?.once('data', resolve));
  const ended = collect(command);
  await daemon.kill();
  await daemon.restart();
  const { code, stderr } = await ended;
  // The next daemon may be there when the session is lost, or not yet.
  assert.ok(code === 9 || /hyperd has let go/.test(stderr), `${code} ${stderr}`);
});
