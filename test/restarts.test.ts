import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from './support/daemon.ts';
import { sharedDaemon } from './support/shared.ts';

/** The back-off has grown to as much as the test has taken by then, and is a minute at most. */
const LONGEST_BACK_OFF_MS = 120_000;

const daemon = sharedDaemon();

/** Counts its runs in a file of its own, and ends as the last words of the script say. */
const counting = (end: string): string =>
  `n=$(cat /n 2>/dev/null); n=$((n+1)); echo $n > /n; echo run $n; ${end}`;

async function runPod(id: string, restartPolicy: string, script: string): Promise<void> {
  const file = join(daemon.root, `${id}.json`);
  const container = { name: `${id}-c`, image: 'busybox', restartPolicy, command: ['sh', '-c', script] };
  writeFileSync(file, JSON.stringify({ id, containers: [container] }));
  const result = await daemon.hyperctl(['run', '-p', file]);
  assert.equal(result.code, 0, result.stdout + result.stderr);
}

const runs = async (id: string): Promise<number> =>
  ((await daemon.hyperctl(['logs', `${id}-c`])).stdout.match(/^run \d+$/gm) ?? []).length;
const podStatus = async (id: string): Promise<string> =>
  new RegExp(`^${id}\\s.*?(\\w+)$`, 'm').exec((await daemon.hyperctl(['list'])).stdout)?.[1] ?? '';

test('onFailure starts a container again until it succeeds, its files kept; then the pod is over', async () => {
  await runPod('fails', 'onFailure', counting('[ $n -ge 4 ] || exit 3'));
  await eventually('the pod has succeeded', async () => (await podStatus('fails')) === 'succeeded');
  assert.equal(await runs('fails'), 4);
  await daemon.hyperctl(['rm', 'fails']);
});

test('never leaves a failed container as it is', async () => {
  await runPod('once', 'never', counting('exit 3'));
  await eventually('the pod has failed', async () => (await podStatus('once')) === 'failed');
  assert.equal(await runs('once'), 1);
  await daemon.hyperctl(['rm', 'once']);
});

test('always goes on over a restart of the daemon and a lost machine, and ends with stop', async () => {
  await runPod('always', 'always', counting('sleep 0.2'));
  await eventually('it has run twice', async () => (await runs('always')) >= 2);
  await daemon.kill();
  await daemon.restart();
  const before = await runs('always');
  const again = (what: string, more: () => Promise<boolean>) => eventually(what, more, LONGEST_BACK_OFF_MS);
  await again('it is started again by the next daemon', async () => (await runs('always')) > before);
  const [machine] = daemon.machinePids();
  process.kill(machine as number, 'SIGKILL');
  const lost = await runs('always');
  await again('it is started again in another machine', async () => (await runs('always')) > lost);
  assert.notEqual(daemon.machinePids()[0], machine);
  await daemon.hyperctl(['stop', 'always']);
  await eventually('no machine is left', async () => daemon.machinePids().length === 0);
  const stopped = await runs('always');
  await daemon.terminate();
  await daemon.restart();
  assert.equal(await runs('always'), stopped);
  assert.deepEqual(daemon.machinePids(), []);
  await daemon.hyperctl(['rm', 'always']);
});
