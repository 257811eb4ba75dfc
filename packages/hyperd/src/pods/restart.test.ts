import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planRestart, Timers } from './restart.ts';

const failed = { failed: true, startedAt: 1_000, finishedAt: 2_000, restarts: 0 };

test('the policy decides by how the run ended', () => {
  assert.equal(planRestart('never', failed), undefined);
  assert.equal(planRestart('onFailure', { ...failed, failed: false }), undefined);
  assert.deepEqual(planRestart('onFailure', failed), { restartsAt: 2_100, restarts: 1 });
  assert.deepEqual(planRestart('always', { ...failed, failed: false }), { restartsAt: 2_100, restarts: 1 });
});

test('each restart waits twice as long as the one before, up to a minute', () => {
  const delays = Array.from(
    { length: 13 },
    (_, restarts) => (planRestart('always', { ...failed, restarts })?.restartsAt ?? 0) - 2_000,
  );
  assert.deepEqual(delays.slice(0, 4), [100, 200, 400, 800]);
  assert.deepEqual(delays.slice(-3), [60_000, 60_000, 60_000]);
});

test('a run of ten seconds begins the count anew', () => {
  const run = { failed: true, startedAt: 0, finishedAt: 10_000, restarts: 7 };
  assert.deepEqual(planRestart('always', run), { restartsAt: 10_100, restarts: 1 });
  assert.equal(planRestart('always', { ...run, startedAt: 1 })?.restarts, 8);
});

test('a restart comes within a minute, also where the clock has been set back since it was planned', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
  const timers = new Timers();
  let count = 0;
  timers.set('pod', 1_000_000 + 86_400_000, () => count++);
  t.mock.timers.tick(59_999);
  assert.equal(count, 0);
  t.mock.timers.tick(1);
  assert.equal(count, 1);
});
