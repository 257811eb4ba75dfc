import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineSummary } from '../../machines/machine.ts';
import { containerView, podView } from '../fake-services.ts';
import { listed } from './listed.ts';

const ended = {
  phase: 'exited',
  startedAt: 1,
  finishedAt: 2,
  exitCode: 3,
  signal: 0,
  message: undefined,
} as const;
const pods = [
  podView(),
  podView({
    ...{ id: 'old', machineId: undefined, containers: [containerView({ name: 'gone', state: ended })] },
    state: { phase: 'ended', outcome: 'failed', startedAt: 1, finishedAt: 2, message: undefined },
  } as object),
];
const machines = [
  { id: 'vm-abcdefghij', owner: 'web' },
  { id: 'vm-idle', owner: undefined },
] as MachineSummary[];
const query = { item: 'pod', pod: '', machine: '' };

function names(item: string, filters: string, more: object = {}): string[] {
  const found = listed({ ...query, item, ...more }, filters, { pods, machines });
  return found.map((entry) => ('name' in entry ? entry.name : entry.id));
}

for (const [item, filters, expected] of [
  ['pod', '', ['web', 'old']],
  ['pod', '{"status":["failed"]}', ['old']],
  ['pod', '{"status":["failed","running"]}', ['web', 'old']],
  ['pod', '{"label":["a=1"],"status":["running"]}', ['web']],
  ['pod', '{"label":["a=2"]}', []],
  ['container', '{"status":["failed"]}', ['gone']],
  ['container', '{"label":["a"]}', []],
  ['vm', '{"status":["idle"]}', ['vm-idle']],
] as const) {
  test(`${item} with filters ${filters || 'of nothing'}: ${expected.join(', ') || 'none'}`, () => {
    assert.deepEqual(names(item, filters), expected);
  });
}

test('items are selected by pod and machine, and tell what they are', () => {
  assert.deepEqual(names('container', '', { pod: 'old' }), ['gone']);
  assert.deepEqual(names('pod', '', { machine: 'vm-abcdefghij' }), ['web']);
  assert.deepEqual(names('vm', '', { pod: 'web' }), ['vm-abcdefghij']);
  const [pod] = listed(query, '', { pods, machines });
  assert.deepEqual(pod, {
    ...{ id: 'web', status: 'running', machine: 'vm-abcdefghij', labels: { a: '1' } },
    ...{ createdAt: '2026-01-02T03:04:00.000Z', containers: ['web'] },
  });
  const [, container] = listed({ ...query, item: 'container' }, '', { pods, machines });
  assert.ok(container && 'exitCode' in container && container.exitCode === 3);
});

test('an unknown item or filter is refused', () => {
  for (const [item, filters] of [
    ['image', ''],
    ['pod', '{"colour":["red"]}'],
  ] as const)
    assert.throws(() => names(item, filters), { code: 'invalid-argument' });
});
