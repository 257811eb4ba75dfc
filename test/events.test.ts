import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient, type HyperEvent } from '../packages/client/src/index.ts';
import { eventually } from './support/daemon.ts';
import { rest } from './support/rest.ts';
import { sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();

/** What has happened so far, as `hyperctl events` tells it. */
async function known(...args: string[]): Promise<HyperEvent[]> {
  const { code, stdout, stderr } = await daemon.hyperctl([
    ...['events', '--since', '1h', '--until', '0s', '--format', 'json'],
    ...args,
  ]);
  assert.equal(code, 0, stderr);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as HyperEvent);
}

const words = (events: readonly HyperEvent[]): string[] =>
  events.map(({ type, action }) => `${type} ${action}`);

test('the life of a pod is told in order, live and from what is known', async () => {
  using client = createClient(`unix://${daemon.socket}`);
  const live: HyperEvent[] = [];
  const reading = (async () => {
    for await (const event of client.events({ filters: { pod: ['told'] } })) {
      live.push(event);
      if (event.action === 'destroy' && event.type === 'pod') return;
    }
  })();
  const run = await daemon.hyperctl([
    'run',
    '--rm',
    '--name',
    'told',
    '--label',
    'a=1',
    'busybox',
    'sh',
    '-c',
    'exit 7',
  ]);
  assert.equal(run.code, 7, run.stderr);
  await reading;
  const expected = [
    ...[
      'pod create',
      'container create',
      'container attach',
      'machine start',
      'container start',
      'pod start',
    ],
    ...['container die', 'pod die', 'machine die', 'container destroy', 'pod destroy'],
  ];
  assert.deepEqual(words(live), expected);
  const die = live.find(({ type, action }) => type === 'container' && action === 'die');
  assert.deepEqual(die?.attributes, { pod: 'told', image: 'busybox', exitCode: '7' });
  assert.equal(die?.name, 'told');
  assert.match(die?.id ?? '', /^[0-9a-f]{64}$/);
  assert.ok(Math.abs(Date.now() / 1000 - (die?.time ?? 0)) < 300);
  const end = live.find(({ type, action }) => type === 'pod' && action === 'die');
  assert.deepEqual([end?.attributes.outcome, end?.labels], ['failed', { a: '1' }]);
  assert.deepEqual(await known('--filter', 'pod=told'), live);
  assert.deepEqual(words(await known('--filter', 'pod=told', '--filter', 'type=pod', '-f', 'event=die')), [
    'pod die',
  ]);
});

test('what is done to a running pod and its containers is told', async () => {
  const hyperctl = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await daemon.hyperctl(args);
    assert.equal(code, 0, stderr);
  };
  await hyperctl('run', '-d', '--name', 'busy', 'busybox', 'sleep', '1000');
  assert.equal((await daemon.hyperctl(['exec', 'busy', 'sh', '-c', 'exit 3'])).code, 3);
  await hyperctl('pause', 'busy');
  await hyperctl('unpause', 'busy');
  await hyperctl('commit', 'busy', 'made:1');
  await hyperctl('kill', 'busy');
  await eventually(
    'the signal has ended it, and its pod',
    async () => (await known('-f', 'pod=busy', '-f', 'event=die')).length === 3,
  );
  const told = await known('--filter', 'pod=busy');
  assert.deepEqual(words(told).slice(5), [
    ...['container exec_create', 'container exec_start', 'container exec_die', 'pod pause', 'pod unpause'],
    'container commit',
    ...['container kill', 'container die', 'pod die', 'machine die'],
  ]);
  const [created, , ended] = told.slice(5);
  assert.deepEqual([created?.attributes.command, ended?.attributes.exitCode], ['sh -c exit 3', '3']);
  assert.equal(created?.attributes.exec, ended?.attributes.exec);
  const die = told.find(({ type, action }) => type === 'container' && action === 'die');
  assert.deepEqual([die?.attributes.exitCode, die?.attributes.signal], ['137', '9']);
  const made = await known('-f', 'image=made');
  assert.deepEqual(words(made), ['image create']);
  assert.equal(made[0]?.id, told.find(({ action }) => action === 'commit')?.attributes.imageId);
  await hyperctl('rm', 'busy');
});

test('a process that memory runs out on is told, and a restart by policy', async () => {
  // The first one holds its memory, because nobody reads what it writes; both together have not enough.
  const script = `[ -e /again ] && exec sleep 1000; touch /again
    dd if=/dev/zero bs=130M count=1 | sleep 1000 & dd if=/dev/zero of=/dev/null bs=130M count=20; exit 1`;
  const { code, stderr } = await daemon.hyperctl([
    ...['run', '-d', '--name', 'greedy', '--restart', 'onFailure', 'busybox', 'sh', '-c', script],
  ]);
  assert.equal(code, 0, stderr);
  const restarted = async (): Promise<boolean> => (await known('-f', 'event=restart')).length > 0;
  await eventually('it was started again', restarted, 120_000);
  const told = words(await known('-f', 'container=greedy'));
  assert.deepEqual(told.slice(told.indexOf('container oom')), [
    ...['container oom', 'container die', 'container start', 'container restart'],
  ]);
  await daemon.hyperctl(['rm', 'greedy']);
});

test('names of images that come and go are told', async () => {
  const before = await known('-f', 'type=image');
  assert.deepEqual(words(before.slice(0, 1)), ['image load'], 'the seed image');
  const tagged = await rest(daemon.socket, 'POST /image/tag?imageName=busybox&repo=other&tag=1');
  assert.equal(tagged.status, 201, tagged.body);
  assert.equal((await daemon.hyperctl(['rmi', 'other:1'])).code, 0);
  const told = (await known('-f', 'type=image')).slice(before.length);
  assert.deepEqual(
    told.map(({ action, name }) => `${action} ${name}`),
    ['tag other:1', 'untag other:1'],
  );
  assert.equal(told[0]?.id, before[0]?.id);
});

test('people get a line an event, in which nothing is for the terminal', async () => {
  await daemon.hyperctl(['create', '--name', 'lined', '--label', 'x=\x1b[2J', 'busybox', 'true']);
  const { stdout } = await daemon.hyperctl(['events', '--since', '1h', '--until', '0s', '-f', 'pod=lined']);
  assert.match(
    stdout,
    /^\d{4}-\d\d-\d\dT[\d:.]+Z pod create lined\n\S+ container create lined \(image=busybox, pod=lined\)\n$/,
  );
  await daemon.hyperctl(['rm', 'lined']);
});

test('bad times and filters are refused with what would be right', async () => {
  for (const [args, message] of [
    [['--since', 'soon'], /--since is "soon", want a date/],
    [['--filter', 'pod'], /--filter is "pod", want KEY=VALUE/],
    [['--filter', 'colour=red'], /"colour" is not known, want type, event, pod/],
    [['--format', 'xml'], /--format is "xml", want table or json/],
  ] as const) {
    const { code, stderr } = await daemon.hyperctl(['events', ...args]);
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
});

test('followers that go leave nothing, and those that stay are told when the daemon ends', async () => {
  using client = createClient(`unix://${daemon.socket}`);
  for (let round = 0; round < 20; round++) {
    const gone = new AbortController();
    const events = Array.from({ length: 30 }, () => client.events({ signal: gone.signal }).next());
    for (const event of events) event.catch(() => undefined);
    await client.ping();
    gone.abort();
    await Promise.allSettled(events);
  }
  const follower = daemon.spawnHyperctl(['events', '--since', '1h', '--format', 'json']);
  let text = '';
  follower.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await eventually('it reads', () => text.includes('"start"'));
  const ended = new Promise((resolve) => follower.once('close', resolve));
  await daemon.terminate();
  assert.equal(await ended, 0);
  assert.match(text.trimEnd().split('\n').at(-1) ?? '', /"type":"daemon","action":"stop"/);
  await daemon.restart();
  assert.deepEqual(words((await known()).filter(({ type }) => type === 'daemon')), ['daemon start']);
});
