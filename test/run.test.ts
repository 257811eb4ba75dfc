import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, type RunSession } from '../packages/client/src/index.ts';
import { eventually } from './support/daemon.ts';
import { sharedClient, sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();
const client = sharedClient(daemon);

const pod = (id: string, command: readonly string[], more: object = {}) => ({
  id,
  containers: [{ name: id, image: 'busybox', command, ...more }],
});

async function outputOf({ output }: RunSession): Promise<string> {
  let text = '';
  for await (const { stream, bytes } of output) text += `${stream}:${Buffer.from(bytes)}`;
  return text;
}

const isThere = async (id: string): Promise<boolean> =>
  (await client.pods()).some((listed) => listed.id === id);

test('a run has input, output and exit code, and its pod is gone when it tells', async () => {
  const session = await client.run(pod('whole', ['sh', '-c', 'cat; exit 5']), { remove: true });
  session.input.end('typed\n');
  const [output] = await Promise.all([outputOf(session), session.started]);
  assert.equal(output, 'stdout:typed\n');
  assert.deepEqual(await session.ended, { exitCode: 5 });
  assert.equal(session.pod, 'whole');
  assert.equal(session.tty, false);
  assert.equal(await isThere('whole'), false);
});

test('without removal the pod stays, with its log', async () => {
  const session = await client.run(pod('kept', ['echo', 'said']));
  await outputOf(session);
  assert.deepEqual(await session.ended, { exitCode: 0 });
  let log = '';
  for await (const { bytes } of client.logs(session.container, { tty: false })) log += Buffer.from(bytes);
  assert.equal(log, 'said\n');
  await client.removePod('kept');
});

test('what cannot be run tells why, and nothing of it is left', async () => {
  const session = await client.run(pod('unrunnable', ['nosuch']), { remove: true });
  assert.equal(await outputOf(session), '');
  const end = await session.ended;
  assert.equal(end?.exitCode, 127);
  assert.match(end?.message ?? '', /"nosuch": executable file not found/);
  assert.equal(await isThere('unrunnable'), false);
});

test('a pod whose client has gone runs on, and is removed when it has ended', async () => {
  const session = await client.run(pod('left', ['sh', '-c', 'echo ready; sleep 2']), { remove: true });
  for await (const _ of session.output) break;
  session.close();
  assert.equal(await isThere('left'), true);
  await eventually('removed', async () => !(await isThere('left')));
});

test('a terminal is one stream, and is detached from by its keys; what runs goes on', async () => {
  const command = ['sh', '-c', 'test -t 0 && echo terminal; read line'];
  const session = await client.run(pod('terminal', command, { tty: true }), { remove: true });
  assert.equal(session.tty, true);
  let said = '';
  for await (const { stream, bytes } of session.output) {
    assert.equal(stream, 'stdout');
    said += Buffer.from(bytes);
    if (said.endsWith('\n')) session.input.write('\x10\x11');
  }
  assert.equal(said, 'terminal\r\n');
  assert.equal(await session.ended, undefined);
  assert.equal(await isThere('terminal'), true);
  await client.removePod('terminal');
});

test('what is refused is refused with a status, and makes nothing', async () => {
  await client.createPod(pod('taken', ['true']));
  const refused = async (spec: object, status: number, told: RegExp): Promise<void> => {
    await assert.rejects(client.run(spec), (error) => {
      assert.ok(error instanceof ApiError, String(error));
      assert.equal(error.status, status);
      assert.match(error.message, told);
      return true;
    });
  };
  await refused(pod('taken', ['true']), 409, /pod name taken has already in use/);
  await refused({ id: 'none', containers: [] }, 500, /containers is empty, want at least one/);
  await refused({ id: 'none', containers: [{ image: 'nosuchimage' }] }, 404, /nosuchimage/);
  await refused({ id: 'none', containers: 5 }, 500, /containers/);
  assert.deepEqual(
    (await client.pods()).map(({ id }) => id),
    ['taken'],
  );
  await client.removePod('taken');
});
