// What outlives containers, and what does not: execs over a daemon's death, changes of containers that are removed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from './support/daemon.ts';
import { sharedClient, sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();
const client = sharedClient(daemon);

async function outputOf(pod: string, ...command: string[]): Promise<string> {
  const session = await client.execInMachine(pod, command);
  session.input.end();
  let text = '';
  for await (const { bytes } of session.output) text += Buffer.from(bytes).toString();
  return text;
}

test('execs survive the daemon: the codes of those that have ended, the processes of those that run, those that have not begun', async () => {
  await client.createPod({
    id: 'execs',
    containers: [{ name: 'execs', image: 'busybox', command: ['sleep', '1000'] }],
  });
  await client.startPod('execs');
  const run = async (...command: string[]) => {
    const session = await client.exec('execs', command);
    session.input.end();
    return session;
  };
  const ended = await run('sh', '-c', 'exit 7');
  assert.equal(await client.waitExec(ended.container, ended.exec), 7);
  const missing = await run('no-such-command');
  for await (const _ of missing.output);
  const running = await run('sh', '-c', 'echo up; while [ ! -e /go ]; do sleep 0.1; done; exit 9');
  for await (const { bytes } of running.output) if (bytes.length > 0) break; // it has begun
  const killed = await run('sleep', '1000');
  const waiting = await client.createExec('execs', ['sh', '-c', 'exit 3']);

  await daemon.kill();
  await daemon.restart();
  assert.equal(await client.waitExec('execs', ended.exec), 7);
  assert.equal(await client.waitExec('execs', missing.exec), 127);
  const code = client.waitExec('execs', running.exec);
  const started = await client.startExec('execs', waiting, { tty: false });
  started.input.end();
  for await (const _ of started.output);
  assert.equal(await client.waitExec('execs', waiting), 3);
  await run('touch', '/go');
  assert.equal(await code, 9, 'it has gone on, and its end is seen');

  await daemon.kill();
  for (const pid of daemon.machinePids()) process.kill(pid, 'SIGKILL');
  await daemon.restart();
  assert.equal(await client.waitExec('execs', running.exec), 9);
  assert.equal(await client.waitExec('execs', killed.exec), 255, 'its machine is gone');
  await client.removePod('execs');
});

test('what a removed container has changed is deleted: at once, or with the next start of a pod that is stopped', async () => {
  const containers = ['stay', 'now', 'later'].map((name) => ({
    ...{ name, image: 'busybox' },
    command: ['sh', '-c', `echo ${name} > /data; sleep 1000`],
  }));
  await client.createPod({ id: 'pruned', containers });
  await client.startPod('pruned');
  const idOf = async (name: string) => (await client.containerInfo(name)).container.containerID;
  const ids = { stay: await idOf('stay'), now: await idOf('now'), later: await idOf('later') };
  const kept = async () => {
    const names = (await outputOf('pruned', '/sbin/busybox', 'ls', '/run/hyper/disks/scratch')).split('\n');
    return names.filter((name) => /^[0-9a-f]{64}$/.test(name)).sort();
  };
  await eventually('all have begun', async () => (await kept()).length === 3);
  await client.stopContainer('now');
  await client.removeContainer('now');
  assert.deepEqual(await kept(), [ids.stay, ids.later].sort());

  await client.stopPod('pruned');
  await client.removeContainer('later');
  await client.startPod('pruned');
  assert.deepEqual(await kept(), [ids.stay]);
  await client.removePod('pruned');
});
