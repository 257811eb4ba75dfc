import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverTiming } from './server-timing.ts';

test('a header tells where the machine is from, and the whole', () => {
  const trace = {
    ...{ startedAt: new Date(), source: 'pool' as const, ready: true, totalMs: 58.1, firstByteMs: undefined },
    phases: [
      { name: 'machine' as const, atMs: 0, ms: 6.2 },
      { name: 'exec' as const, atMs: 6.2, ms: 30 },
    ],
  };
  assert.equal(serverTiming(trace), 'machine;desc="pool, ready";dur=6.2, exec;dur=30, total;dur=58.1');
});
