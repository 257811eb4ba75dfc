import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDaemon } from './support/daemon.ts';

const NOBODY = 65534;

test('an ordinary user runs a pod, no root needed', {
  skip: process.getuid?.() !== 0 && 'this run is unprivileged already',
}, async () => {
  await using daemon = await startDaemon({ uid: NOBODY });
  const result = await daemon.hyperctl(['run', '--rm', 'busybox', 'id', '-u']);
  assert.deepEqual([result.code, result.stdout], [0, '0\n'], result.stderr + daemon.log());
});
