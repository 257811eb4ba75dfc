import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PodStats } from '@hyperd/client';
import { cpuTime } from './commands/top.ts';
import { usageCells, usageRows } from './usage-rows.ts';

const block = (Read: number, Write: number): PodStats['block'] => ({
  io_service_bytes_recursive: [{ name: 'disk', major: 8, minor: 0, stat: { Read, Write } }],
  io_serviced_recursive: [],
});
const usage = (total: number): PodStats['cpu']['usage'] => ({ total, per_cpu_usage: [], user: 0, system: 0 });

function sample(timestamp: string, cpuNs: number): PodStats {
  return {
    cpu: { usage: usage(cpuNs), load_average: 0 },
    block: block(1_000_000, 2_000),
    memory: { usage: 9_000_000, working_set: 5_000_000, failcnt: 0, limit: 200_000_000 },
    network: { interfaces: [{ name: 'eth0', rx_bytes: 10, tx_bytes: 20 }] } as unknown as PodStats['network'],
    filesystem: [],
    processes: 3,
    timestamp,
    container_stats: [
      {
        ...{ container_id: 'c'.repeat(64), cpu: { usage: usage(cpuNs / 2) }, block: block(1, 2) },
        ...{ memory: { usage: 2, working_set: 1 }, processes: 1 },
      },
    ],
  };
}

const before = sample('2026-01-02T03:04:05.000Z', 1e9);
const now = sample('2026-01-02T03:04:07.000Z', 2.5e9);

test('a pod is shown with what it has used of a processor between two samples', () => {
  const [row] = usageRows('web', now, before, false);
  assert.ok(row);
  assert.equal(row.cpuPercent, 75);
  assert.deepEqual(usageCells(row, undefined), [
    ...['web', '75.00%', '5 MB / 200 MB', '10 B / 20 B', '1 MB / 2 kB', '3'],
  ]);
});

test('without an earlier sample, or with one of the same moment, there is no percentage', () => {
  for (const earlier of [undefined, now]) {
    const [row] = usageRows('web', now, earlier, false);
    assert.ok(row);
    assert.deepEqual(usageCells(row, undefined)[1], '--');
  }
});

test('a container that was started again has not used less than nothing', () => {
  assert.equal(usageRows('web', before, sample('2026-01-02T03:04:04.000Z', 9e9), false)[0]?.cpuPercent, 0);
});

test("containers are shown by name, without the network, which is the pod's", () => {
  const [row] = usageRows('web', now, before, true);
  assert.ok(row);
  assert.deepEqual(usageCells(row, 'nginx').slice(0, 5), ['web', 'nginx', '37.50%', '1 B / 200 MB', '--']);
  assert.equal(usageCells(row, undefined)[1], 'cccccccccccc');
});

for (const [ns, text] of [
  [0, '00:00:00'],
  [59.9e9, '00:00:59'],
  [3661e9, '01:01:01'],
  [360_000e9, '100:00:00'],
] as const) {
  test(`${ns} ns of a processor are ${text}`, () => assert.equal(cpuTime(ns), text));
}
