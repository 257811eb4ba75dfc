import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diskUsageOf } from './disk-usage.ts';

const NOTHING = {
  ...{ readBytes: 0, writeBytes: 0, reads: 0, writes: 0, flushes: 0 },
  ...{ readNs: 0, writeNs: 0, mergedReads: 0, mergedWrites: 0 },
};

test('figures of our disks are told by target', () => {
  const usage = diskUsageOf([
    {
      'node-name': 'disk3',
      stats: { rd_bytes: 512, wr_operations: 2, flush_operations: 1, rd_total_time_ns: 5 },
    },
    { 'node-name': 'pflash0', stats: { rd_bytes: 1 } },
    { device: 'ide0-cd0', stats: {} },
  ]);
  assert.deepEqual([...usage], [[3, { ...NOTHING, readBytes: 512, writes: 2, flushes: 1, readNs: 5 }]]);
});

test('a QEMU that a guest has taken over may say anything', () => {
  for (const answer of [
    undefined,
    null,
    'x',
    {},
    [null],
    [{ 'node-name': 'disk1' }],
    [{ 'node-name': 'disk1', stats: null }],
  ])
    assert.equal(diskUsageOf(answer).size, 0);
  const odd = diskUsageOf([
    { 'node-name': 'disk1', stats: { rd_bytes: -1, wr_bytes: 'x', rd_operations: 1.5 } },
  ]);
  assert.deepEqual([...odd.values()], [NOTHING]);
});
