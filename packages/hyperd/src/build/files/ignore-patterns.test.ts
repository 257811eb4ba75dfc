import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Glob } from './glob.ts';
import { IgnorePatterns } from './ignore-patterns.ts';

const matches: readonly (readonly [string, string, boolean])[] = [
  ['*.txt', 'a.txt', true],
  ['*.txt', 'd/a.txt', false],
  ['?.txt', 'a.txt', true],
  ['?', '/', false],
  ['[a-c]x', 'bx', true],
  ['[^a-c]x', 'bx', false],
  ['[]a]x', 'ax', true],
  ['\\*', '*', true],
  ['\\*', 'a', false],
  ['**', 'a/b/c', true],
  ['**/c', 'c', true],
  ['**/c', 'a/b/c', true],
  ['**/c', 'a/bc', false],
  ['a/**', 'a/b/c', true],
  ['a/**/c', 'a/c', true],
  ['a/**/c', 'a/x/y/c', true],
  ['a**c', 'a/x/c', true],
  ['d*/x', 'dir/x', true],
];
for (const [pattern, path, result] of matches)
  test(`pattern "${pattern}" ${result ? 'matches' : 'does not match'} "${path}"`, () =>
    assert.equal(new Glob(pattern, { deep: true }).matches(path), result));

test('a pattern that is none is refused, and one of many stars takes no time', () => {
  assert.throws(() => new Glob('[a', { deep: false }), RangeError);
  assert.throws(() => new Glob('a\\', { deep: false }), RangeError);
  assert.equal(new Glob(`${'*a'.repeat(60)}b`, { deep: true }).matches('a'.repeat(3_000)), false);
});

const ignored: readonly (readonly [string, string, boolean])[] = [
  ['node_modules', 'node_modules/a/b', true],
  ['node_modules', 'x/node_modules', false],
  ['**/node_modules', 'x/node_modules/y', true],
  ['/a/', 'a/b', true],
  ['./a', 'a', true],
  ['*\n!a', 'a', false],
  ['*\n!a', 'b', true],
  ['a\n!a/b\na/b/c', 'a/b/d', false],
  ['a\n!a/b\na/b/c', 'a/b/c/e', true],
  ['# a', 'a', false],
  ['  a  ', 'a', true],
  ['', 'a', false],
  ['.', 'a/b', true],
  ['*/*.md', 'a/b.md', true],
  ['*/*.md', 'b.md', false],
];
for (const [text, path, result] of ignored)
  test(`${JSON.stringify(text)} ${result ? 'ignores' : 'does not ignore'} "${path}"`, () =>
    assert.equal(IgnorePatterns.parse(text).ignores(path), result));
