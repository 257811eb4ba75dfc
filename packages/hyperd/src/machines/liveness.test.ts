import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HyperError } from '../errors.ts';
import { Liveness } from './liveness.ts';

const TIMING = { intervalMs: 1000, silenceMs: 3000 };
const never = (): Promise<void> => new Promise(() => undefined);

function watched(t: { mock: { timers: typeof import('node:test').mock.timers } }, beat: () => Promise<void>) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const reasons: string[] = [];
  const counts = { beats: 0 };
  const counted = (): Promise<void> => {
    counts.beats++;
    return beat();
  };
  const liveness = new Liveness({ ...TIMING, beat: counted, onSilence: (reason) => reasons.push(reason) });
  const pass = async (ms: number): Promise<void> => {
    for (let done = 0; done < ms; done += 500) {
      t.mock.timers.tick(500);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { liveness, reasons, counts, pass };
}

test('a guest that answers is asked again and again, until it is disposed of', async (t) => {
  const { liveness, reasons, counts, pass } = watched(t, async () => undefined);
  await pass(10_000);
  assert.equal(counts.beats, 10);
  liveness[Symbol.dispose]();
  await pass(10_000);
  assert.equal(counts.beats, 10);
  assert.deepEqual(reasons, []);
});

test('a guest that does not answer is told of once', async (t) => {
  const { reasons, pass } = watched(t, never);
  await pass(3500);
  assert.deepEqual(reasons, []);
  await pass(10_000);
  assert.deepEqual(reasons, ['the guest has not answered for 3 s']);
});

test('a call that times out is tried again for as long as a guest may be silent', async (t) => {
  let tries = 0;
  const { reasons, pass } = watched(t, async () => {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    if (++tries % 2 > 0) throw new HyperError('timeout', 'no answer');
  });
  await pass(20_000);
  assert.deepEqual(reasons, []);
});

test('a guest that is paused is not expected to answer', async (t) => {
  const { liveness, reasons, pass } = watched(t, never);
  await pass(2000);
  liveness.pause();
  await pass(10_000);
  assert.deepEqual(reasons, []);
  liveness.resume();
  await pass(4500);
  assert.equal(reasons.length, 1);
});
