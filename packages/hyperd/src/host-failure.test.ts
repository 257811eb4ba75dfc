import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { HyperError } from './errors.ts';
import { hostFailure, toldOf } from './host-failure.ts';

const withCode = (code: string): Error => Object.assign(new Error(code), { code });

for (const [what, error, code, message] of [
  ['a full disk', withCode('ENOSPC'), 'limit', /no space is left/],
  ['a quota', withCode('EDQUOT'), 'limit', /no space is left/],
  ['an index that cannot grow', Object.assign(new Error(), { errcode: 4874 }), 'limit', /no space is left/],
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

test('a full disk is told by what it ended and what could not be written, whatever was made of the error', () => {
  const error = Object.assign(withCode('ENOSPC'), { syscall: 'mkdir', path: '/r/machines/vm-1' });
  const wrapped = new HyperError('machine', 'start machine: ENOSPC', { cause: error });
  const told = toldOf(wrapped, 'start pod "a"') as HyperError;
  assert.equal(told.code, 'limit');
  assert.match(
    told.message,
    /^start pod "a": no space is left on the disk of the daemon \(mkdir \/r\/machines\/vm-1\)/,
  );
  for (const other of [new HyperError('machine', 'x', { cause: withCode('EIO') }), new TypeError('x')])
    assert.equal(toldOf(other, 'start pod "a"'), other);
});

test('other errors are not the host’s', () => {
  for (const error of [new TypeError('x'), withCode('ENOENT'), 'text', undefined])
    assert.equal(hostFailure(error), undefined);
});
