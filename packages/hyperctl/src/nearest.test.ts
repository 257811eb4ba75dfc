import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMANDS } from './commands.ts';
import { distance, suggestion } from './nearest.ts';

for (const [a, b, far] of [
  ['', '', 0],
  ['', 'abc', 3],
  ['list', 'list', 0],
  ['lsit', 'list', 1],
  ['ca', 'abc', 3],
  ['kitten', 'sitting', 3],
] as const) {
  test(`from "${a}" to "${b}" it is ${far}`, () => {
    assert.equal(distance(a, b), far);
    assert.equal(distance(b, a), far);
  });
}

const names = COMMANDS.map(({ name }) => name);
for (const [typed, meant] of [
  ['lsit', 'list'],
  ['exce', 'exec'],
  ['stats2', 'stats'],
  ['insp', 'inspect'],
  ['unpasue', 'unpause'],
  ['frobnicate', undefined],
  ['x', undefined],
] as const) {
  test(`"${typed}" ${meant ? `is taken for "${meant}"` : 'is near to nothing'}`, () => {
    assert.equal(suggestion(typed, names), meant ? `; did you mean "${meant}"?` : '');
  });
}
