import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { hostFailure } from './host-failure.ts';

const withCode = (code: string): Error => Object.assign(new Error(code), { code });

for (const [what, error, code, message] of [
  ['a full disk', withCode('ENOSPC'), 'limit', /no space is left/],
  ['a quota', withCode('EDQUOT'), 'limit', /no space is left/],
  ['too many open files', withCode('EMFILE'), 'limit', /open more files/],
  ['a broken disk', withCode('EIO'), 'internal', /cannot be written to or read: EIO/],
  ['a damaged database', Object.assign(new Error(), { errcode: 11 | (1 << 8) }), 'corrupt', /doctor/],
] as const)
  test(`${what} is told in words`, () => {
    const failure = hostFailure(error);
    assert.equal(failure?.code, code);
    assert.match(failure?.message ?? '', message);
  });

test('a database that can grow no more is a full disk', () => {
  const db = new DatabaseSync(':memory:');
  db.exec('PRAGMA max_page_count = 2; CREATE TABLE t (x)');
  assert.throws(
    () => db.exec('INSERT INTO t VALUES (zeroblob(1000000))'),
    (error) => hostFailure(error)?.code === 'limit',
  );
  db.close();
});

test('other errors are not the host’s', () => {
  for (const error of [new TypeError('x'), withCode('ENOENT'), 'text', undefined])
    assert.equal(hostFailure(error), undefined);
});
