import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Digest } from '../ids.ts';
import { openState } from '../state/database.ts';
import { type CachedStep, createBuildCache } from './cache.ts';

const DAY_MS = 86_400_000;
const digest = (digit: string): Digest => `sha256:${digit.repeat(64)}` as Digest;
const step = (digit: string): CachedStep => ({
  layer: { diffId: digest(digit), blob: { mediaType: 'm', digest: digest(digit.toUpperCase()), size: 1 } },
  created: '2026-01-01T00:00:00Z',
});

test('steps come back as they were; what is too much goes, the longest unused first', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'cache-'));
  using state = openState(root);
  t.mock.timers.enable({ apis: ['Date'], now: 0 });
  const cache = createBuildCache(state);
  for (const [index, key] of ['a', 'b', 'c'].entries()) {
    t.mock.timers.setTime(index * DAY_MS);
    cache.put(key, step(key), 100);
  }
  cache.put('nothing', { layer: undefined, created: 'x' }, 0);
  assert.deepEqual(cache.get('nothing'), { layer: undefined, created: 'x' });
  assert.deepEqual([cache.get('none'), cache.usage()], [undefined, { steps: 4, bytes: 300 }]);
  t.mock.timers.setTime(3 * DAY_MS);
  assert.deepEqual(cache.get('a'), step('a')); // used just now
  assert.equal(cache.prune({ maxBytes: 250, maxAgeMs: 10 * DAY_MS }), 1);
  assert.equal(cache.get('b'), undefined);
  assert.deepEqual(
    [...cache.layers()].map(({ diffId }) => diffId),
    [digest('a'), digest('c')],
  );
  t.mock.timers.setTime(20 * DAY_MS);
  assert.equal(cache.prune({ maxBytes: 1000, maxAgeMs: DAY_MS }), 3);
  rmSync(root, { recursive: true });
});
