import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createMachineUsers, defaultRange, isMapped, planUsers } from './machine-users.ts';

test("users are those of the range, never one that is taken, and the first is nobody's but templates'", () => {
  const users = createMachineUsers({ first: 5000, count: 4 });
  const taken = new Set<number>();
  for (let i = 0; i < 3; i++) taken.add(users.pick(taken).uid);
  assert.deepEqual([...taken].sort(), [5001, 5002, 5003]);
  assert.equal(users.template.uid, 5000);
  assert.equal(users.template.groups[0], users.group);
  assert.throws(() => users.pick(taken), /all 3 users of machines are taken/);
});

test('root directories have ranges of their own, above those of containers and within 31 bits', () => {
  const [a, b] = [defaultRange('/var/lib/hyper'), defaultRange('/tmp/x')];
  assert.deepEqual(a, defaultRange('/var/lib/hyper'));
  assert.notEqual(a.first, b.first);
  for (const { first, count } of [a, b]) {
    assert.ok(first > 0x6fffffff && first + count <= 0x80000000);
    assert.equal(first % count, 0);
  }
});

for (const [map, first, count, expected] of [
  ['         0          0 4294967295\n', 1900000000, 65536, true],
  ['0 100000 65536\n', 60000, 5536, true],
  ['0 100000 65536\n', 60000, 5537, false],
  ['0 1000 1\n1 100000 65536\n', 1900000000, 65536, false],
  ['', 1000, 2, false],
] as const)
  test(`in a user namespace with the map "${map.trim()}" there are ${count} users from ${first}: ${expected}`, () => {
    assert.equal(isMapped({ first, count }, map), expected);
  });

test('who is not root, or does not want them, is told why there are none, and nothing stands in the way', () => {
  const { users, told, hindrance } = planUsers('none', { root: '/r', kvm: false, files: [] });
  assert.equal(users, undefined);
  assert.match(told, /^the daemon's own, for all: /);
  assert.equal(hindrance, undefined);
});

test("what a machine's user could not read is a reason to have none", {
  skip: process.getuid?.() === 0 ? false : 'only a daemon of root has any',
}, () => {
  const directory = mkdtempSync(join(tmpdir(), 'users-'));
  try {
    const plan = () =>
      planUsers(undefined, { root: '/r', kvm: false, files: [directory, join(directory, 'none')] });
    assert.match(plan().hindrance ?? '', /users-\S+ is not readable by all users/);
    chmodSync(directory, 0o711);
    assert.equal(plan().hindrance, undefined);
    assert.match(plan().told, /^one each, of \d+ to \d+$/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
