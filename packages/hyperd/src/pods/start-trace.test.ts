import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartRecorder } from './start-trace.ts';

test('phases are told in the order in which they began, also one that failed', async () => {
  const recorder = new StartRecorder();
  const gate = Promise.withResolvers<void>();
  const machine = recorder.phase('machine', () => gate.promise);
  await assert.rejects(recorder.phase('image', () => Promise.reject(new Error('no image'))));
  gate.resolve();
  await machine;
  recorder.machine('pool', true);
  assert.deepEqual(
    recorder.trace.phases.map(({ name }) => name),
    ['machine', 'image'],
  );
  assert.deepEqual([recorder.trace.totalMs, recorder.trace.firstByteMs], [undefined, undefined]);
});

test('the end of the start and its first byte are the first that were told', async () => {
  const recorder = new StartRecorder();
  recorder.end();
  recorder.firstByte();
  const { totalMs, firstByteMs } = recorder.trace;
  await new Promise((resolve) => setTimeout(resolve, 5));
  recorder.end();
  recorder.firstByte();
  assert.deepEqual([recorder.trace.totalMs, recorder.trace.firstByteMs], [totalMs, firstByteMs]);
});
