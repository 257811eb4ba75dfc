import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../../errors.ts';
import { parseFileMode } from './file-mode.ts';

const modes: readonly (readonly [string, number, boolean, number])[] = [
  ['755', 0o600, false, 0o755],
  ['4755', 0o600, false, 0o4755],
  ['644', 0o4755, false, 0o644],
  ['u=rwX,go=rX', 0o640, false, 0o644],
  ['u=rwX,go=rX', 0o640, true, 0o755],
  ['a+x', 0o640, false, 0o751],
  ['+x', 0o600, false, 0o711],
  ['go-rwx', 0o777, false, 0o700],
  ['u+s', 0o755, false, 0o4755],
  ['+t', 0o777, true, 0o1777],
  ['g=', 0o777, false, 0o707],
];
for (const [text, before, isDirectory, after] of modes)
  test(`--chmod=${text} makes ${before.toString(8)} of a ${isDirectory ? 'directory' : 'file'} ${after.toString(8)}`, () =>
    assert.equal(parseFileMode(text)(before, isDirectory).toString(8), after.toString(8)));

for (const text of ['', '888', 'u', 'x=r', 'u=q', 'rwx'])
  test(`--chmod="${text}" is refused`, () =>
    assert.throws(
      () => parseFileMode(text),
      (error) => isHyperError(error, 'invalid-argument'),
    ));
