import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { checkShape } from './shape-limits.ts';

const place = { vcpus: 'resource.vcpu', memory: 'resource.memory' };
const host = { processors: 4, memoryMib: 8192 };

for (const [vcpus, memoryMib] of [
  [1, 4],
  [16, 8192],
] as const) {
  test(`a machine of ${vcpus} processors and ${memoryMib} MiB is possible on a host of 4 and 8192`, () => {
    checkShape({ vcpus, memoryMib }, host, place);
  });
}

for (const [vcpus, memoryMib, message] of [
  [17, 128, /"resource.vcpu" is 17, want 1 to 16 on a host of 4/],
  [1, 3, /"resource.memory" is 3 MiB, want 4 to 8192 MiB/],
  [1, 8193, /"resource.memory" is 8193 MiB, want 4 to 8192 MiB/],
] as const) {
  test(`a machine of ${vcpus} processors and ${memoryMib} MiB is refused, saying what is allowed`, () => {
    assert.throws(
      () => checkShape({ vcpus, memoryMib }, host, place),
      (error) => isHyperError(error, 'invalid-spec') && message.test(error.message),
    );
  });
}

test('a small host may still have a machine of 8 processors, a large one of 240', () => {
  checkShape({ vcpus: 8, memoryMib: 64 }, { processors: 1, memoryMib: 1024 }, place);
  const large = { processors: 128, memoryMib: 1 << 20 };
  checkShape({ vcpus: 240, memoryMib: 64 }, large, place);
  assert.throws(() => checkShape({ vcpus: 241, memoryMib: 64 }, large, place));
});
