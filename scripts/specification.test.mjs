import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultsOf } from './specification.mjs';

const read = (path) =>
  ({ 'test/a.test.ts': "test('it holds')", 'bench/b.mjs': "title: 'quick', atMost: 0.3, of" })[path];
const row = (number, held) =>
  `| promise | number | held by |\n| --- | --- | --- |\n| p | ${number} | ${held} |\n`;

test('faultsOf() tells a row whose file, title or aim there is not, and is content with what there is', () => {
  for (const [text, fault] of [
    [row('0', '`test/a.test.ts` it holds'), undefined],
    [row('≤ 0.3 of docker', '`bench/b.mjs` quick'), undefined],
    [row('≤ 0.4 of docker', '`bench/b.mjs` quick'), /no case of bench\/b\.mjs has the aim/],
    [row('0', '`test/a.test.ts` it did'), /no case or test "it did"/],
    [row('0', '`test/gone.test.ts` it holds'), /there is no test\/gone\.test\.ts/],
    [row('0', 'somebody'), /want \| promise/],
    ['# Specification\n', /no promises/],
  ]) {
    const faults = faultsOf(text, read);
    if (fault) assert.match(faults.join(), fault);
    else assert.deepEqual(faults, []);
  }
});
