// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles have them
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isHyperError } from '../../errors.ts';
import { matchLengths } from './shell-pattern.ts';
import { expandWord, expandWords } from './words.ts';

const values: Readonly<Record<string, string>> = {
  A: 'aa',
  EMPTY: '',
  PATH: '/usr/bin:/bin',
  FILE: 'x.tar.gz',
  S: 'a b',
};
const options = {
  escapeChar: '\\',
  environment: (name: string): string | undefined => (Object.hasOwn(values, name) ? values[name] : undefined),
};

const expanded: readonly (readonly [string, string])[] = [
  ['$A', 'aa'],
  ['${A}b', 'aab'],
  ['$Ab', ''],
  ['\\$A', '$A'],
  ['\\\\$A', '\\aa'],
  ["'$A'", '$A'],
  ['"$A"', 'aa'],
  ['"\\$A"', '$A'],
  ['"a\\nb"', 'a\\nb'],
  ['a\\nb', 'anb'],
  ['$', '$'],
  ['a$', 'a$'],
  ['$/x', '$/x'],
  ['$1x', 'x'],
  ['${NONE:-d}', 'd'],
  ['${NONE-d}', 'd'],
  ['${EMPTY:-d}', 'd'],
  ['${EMPTY-d}', ''],
  ['${A:+set}', 'set'],
  ['${NONE:+set}', ''],
  ['${EMPTY:+set}', ''],
  ['${EMPTY+set}', 'set'],
  ['${A:?no}', 'aa'],
  ['${NONE:-${A}-$A}', 'aa-aa'],
  ['${NONE:-"a b"}', 'a b'],
  ['${PATH#*:}', '/bin'],
  ['${PATH##*/}', 'bin'],
  ['${PATH%/*}', '/usr/bin:'],
  ['${FILE%.*}', 'x.tar'],
  ['${FILE%%.*}', 'x'],
  ['${FILE#?}', '.tar.gz'],
  ['${FILE#none}', 'x.tar.gz'],
  ['${FILE/tar/zip}', 'x.zip.gz'],
  ['${PATH//bin/sbin}', '/usr/sbin:/sbin'],
  ['${PATH/bin/}', '/usr/:/bin'],
  ['${PATH//\\//-}', '-usr-bin:-bin'],
  ['a"b"\'c\'', 'abc'],
];
for (const [text, result] of expanded)
  test(`${text} is expanded to ${JSON.stringify(result)}`, () =>
    assert.equal(expandWord(text, options), result));

const refused: readonly (readonly [string, RegExp])[] = [
  ['${NONE:?is needed}', /NONE: is needed/],
  ['${NONE?}', /not allowed to be unset/],
  ['${EMPTY:?}', /not allowed to be empty/],
  ['${A', /missing "}"/],
  ['${A:-x', /missing "}"/],
  ['${}', /bad substitution/],
  ['${A!x}', /unsupported modifier/],
  ['${A:#x}', /unsupported modifier/],
  ["'a", /single-quote/],
  ['"a', /double-quote/],
];
for (const [text, message] of refused)
  test(`${text} is refused`, () =>
    assert.throws(
      () => expandWord(text, options),
      (error) => isHyperError(error, 'invalid-argument') && message.test(error.message),
    ));

test('words are parted where blanks are not quoted, also in values', () => {
  assert.deepEqual(expandWords('a "b c" $S "$S" d\\ e', options), ['a', 'b c', 'a', 'b', 'a b', 'd e']);
});

test('a pattern of many stars takes no time', () => {
  const value = 'a'.repeat(5_000);
  assert.deepEqual(matchLengths(`${'*a'.repeat(50)}b`, value, 0), []);
});

test('whatever the text, it is expanded or refused', () => {
  const piece = fc.constantFrom(
    '$',
    '{',
    '}',
    ':',
    '-',
    '+',
    '?',
    '#',
    '%',
    '/',
    '"',
    "'",
    '\\',
    'A',
    'NONE',
    ' ',
    '*',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      try {
        expandWords(pieces.join(''), options);
      } catch (error) {
        assert.ok(isHyperError(error, 'invalid-argument'), String(error));
      }
    }),
  );
});
