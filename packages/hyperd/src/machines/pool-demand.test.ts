import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyOf, PoolDemand, type PoolKind } from './pool-demand.ts';

const small = { vcpus: 1, memoryMib: 128 };
const large = { vcpus: 2, memoryMib: 512 };
const kind = (shape: PoolKind['shape'], outfit?: string): PoolKind => ({ shape, outfit });
const MINUTE = 60_000;

function demand(max = 4, standing = [{ shape: small, count: 1 }]): PoolDemand {
  return new PoolDemand({ max, standing, keepMs: 10 * MINUTE });
}
const keys = (pool: PoolDemand, now: number): string[] => pool.wanted(now).map(keyOf);

test('without any start the standing orders are what waits', () => {
  assert.deepEqual(keys(demand(), 0), ['1x128']);
  assert.deepEqual(keys(demand(4, []), 0), []);
});

test('standing orders are kept even where they are more than the bound', () => {
  assert.deepEqual(keys(demand(1, [{ shape: large, count: 2 }]), 0), ['2x512', '2x512']);
});

test('every kind that was asked for lately has one, the latest first, until it is forgotten', () => {
  const pool = demand();
  pool.note(kind(small, 'a'), 0);
  pool.note(kind(large), MINUTE);
  assert.deepEqual(keys(pool, 2 * MINUTE), ['1x128', '2x512', '1x128 a']);
  assert.deepEqual(keys(pool, 10 * MINUTE), ['1x128', '2x512']);
  assert.deepEqual(keys(pool, 11 * MINUTE), ['1x128']);
});

test('several starts within a minute are met by several machines, up to the bound', () => {
  const pool = demand(3);
  for (let i = 0; i < 20; i++) pool.note(kind(small, 'a'), i);
  assert.deepEqual(keys(pool, 20), ['1x128', '1x128 a', '1x128 a']);
  assert.deepEqual(keys(pool, 2 * MINUTE), ['1x128', '1x128 a']);
});

test('a standing order serves starts of its kind: it is not held twice', () => {
  const pool = demand();
  pool.note(kind(small), 0);
  assert.deepEqual(keys(pool, 1), ['1x128']);
  pool.note(kind(small), 2);
  assert.deepEqual(keys(pool, 3), ['1x128', '1x128']);
});

test('an image that is gone is wanted no more', () => {
  const pool = demand();
  pool.note(kind(small, 'a'), 0);
  pool.note(kind(large, 'a'), 0);
  pool.forget('a');
  assert.deepEqual(keys(pool, 1), ['1x128']);
});

test('what waits is compared with what should: what is missing, and what is too much', () => {
  const pool = demand();
  pool.note(kind(small, 'a'), 0);
  const waiting = [
    { kind: kind(small), item: 1 },
    { kind: kind(small), item: 2 },
    { kind: kind(large), item: 3 },
  ];
  const { missing, surplus } = pool.compare(waiting, 1);
  assert.deepEqual([missing.map(keyOf), surplus], [['1x128 a'], [2, 3]]);
});

test('any number of kinds may be asked for', () => {
  const pool = demand();
  for (let i = 0; i < 10_000; i++) pool.note(kind(small, `image${i}`), i);
  assert.deepEqual(keys(pool, 10_000).slice(1), ['1x128 image9999', '1x128 image9998', '1x128 image9997']);
});
