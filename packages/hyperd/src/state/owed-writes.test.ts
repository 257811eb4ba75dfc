import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwedWrites } from './owed-writes.ts';

const full = (): never => {
  throw Object.assign(new Error('database or disk is full'), { errcode: 13 });
};

test('what the disk has no room for is written once it has, the last of each only', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const written: string[] = [];
  let isFull = true;
  const write = (text: string) => () => void (isFull ? full() : written.push(text));
  using owed = new OwedWrites();
  owed.note('a', write('a1'));
  owed.note('a', write('a2'));
  owed.note('b', write('b'));
  owed.note('c', write('c'));
  owed.forget('c');
  t.mock.timers.tick(5_000);
  assert.deepEqual(written, []);
  isFull = false;
  t.mock.timers.tick(1_000);
  assert.deepEqual(written, ['a2', 'b']);
  t.mock.timers.tick(5_000);
  assert.deepEqual(written, ['a2', 'b']);
});

test('an error that is none of the disk is thrown', () => {
  using owed = new OwedWrites();
  assert.throws(
    () =>
      owed.note('a', () => {
        throw new TypeError('a mistake');
      }),
    TypeError,
  );
});
