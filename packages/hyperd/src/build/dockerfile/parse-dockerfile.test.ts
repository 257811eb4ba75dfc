import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isHyperError } from '../../errors.ts';
import type { Instruction } from './instruction.ts';
import { parseDockerfile } from './parse-dockerfile.ts';

/** The instructions of the only stage, without their places. */
function parsed(text: string): object[] {
  const { stages } = parseDockerfile(`FROM x\n${text}`);
  return (stages[0]?.instructions ?? []).map(({ line: _line, text: _text, ...rest }: Instruction) => rest);
}

const noFlags = {
  ...{ from: undefined, chown: undefined, chmod: undefined, link: false, parents: false, exclude: [] },
  ...{ checksum: undefined, keepGitDirectory: false, unpack: undefined },
};
const run = (command: object, more: object = {}): object => ({
  kind: 'run',
  command,
  heredocs: [],
  mounts: [],
  network: 'default',
  security: 'sandbox',
  ...more,
});
const shell = (text: string): object => ({ form: 'shell', text });
const heredoc = (name: string, content: string, more: object = {}): object => ({
  name,
  content,
  strip: false,
  expand: true,
  ...more,
});

const accepted: readonly (readonly [string, string, object])[] = [
  ['a command for the shell', 'RUN echo  hi ', run(shell('echo  hi'))],
  ['a command as it is', 'RUN ["a", "b c"]', run({ form: 'exec', args: ['a', 'b c'] })],
  ['what looks like JSON and is none', 'RUN [ -f x ]', run(shell('[ -f x ]'))],
  ['small letters', 'run echo', run(shell('echo'))],
  [
    'a continued line with comments and empty lines in it',
    'RUN a \\\n# comment\n\n   b \\\n  c',
    run(shell('a    b   c')),
  ],
  ['a doubled escape at the end', 'RUN a \\\\', run(shell('a \\\\'))],
  [
    'flags of RUN',
    'RUN --network=none --mount=type=cache,target=/c,\\"id=a,b\\" x',
    run(shell('x'), {
      network: 'none',
      mounts: [
        {
          type: 'cache',
          fields: new Map([
            ['type', 'cache'],
            ['target', '/c'],
            ['id', 'a,b'],
          ]),
        },
      ],
    }),
  ],
  ['a heredoc', 'RUN <<EOF\na\n  b\nEOF', run(shell('<<EOF'), { heredocs: [heredoc('EOF', 'a\n  b\n')] })],
  [
    'several heredocs',
    'RUN a <<X - 3<<-"Y"\n1\nX\n\t2\n\tY',
    run(shell('a <<X - 3<<-"Y"'), {
      heredocs: [heredoc('X', '1\n'), heredoc('Y', '\t2\n', { strip: true, expand: false })],
    }),
  ],
  [
    'a comment in a heredoc',
    'RUN <<EOF\n# kept\\\nEOF',
    run(shell('<<EOF'), { heredocs: [heredoc('EOF', '# kept\\\n')] }),
  ],
  [
    'COPY',
    'COPY a b/ /c/',
    { kind: 'copy', sources: [{ text: 'a' }, { text: 'b/' }], target: '/c/', flags: noFlags },
  ],
  [
    'COPY with names that have blanks',
    'COPY ["a b", "c d"]',
    { kind: 'copy', sources: [{ text: 'a b' }], target: 'c d', flags: noFlags },
  ],
  [
    'COPY of a heredoc',
    'COPY <<f /x\n$A\nf',
    { kind: 'copy', sources: [{ text: '<<f', heredoc: heredoc('f', '$A\n') }], target: '/x', flags: noFlags },
  ],
  [
    'flags of COPY',
    'COPY --from=b --chown=1:2 --chmod=755 --link --exclude=*.a --exclude=b c d',
    {
      kind: 'copy',
      sources: [{ text: 'c' }],
      target: 'd',
      flags: { ...noFlags, from: 'b', chown: '1:2', chmod: '755', link: true, exclude: ['*.a', 'b'] },
    },
  ],
  [
    'ENV, quoted',
    'ENV A=b "C D"=e F="g h" I=j\\ k',
    {
      kind: 'env',
      pairs: [
        { key: 'A', value: 'b' },
        { key: '"C D"', value: 'e' },
        { key: 'F', value: '"g h"' },
        { key: 'I', value: 'j\\ k' },
      ],
    },
  ],
  ['the old ENV', 'ENV A b  c', { kind: 'env', pairs: [{ key: 'A', value: 'b  c' }] }],
  [
    'ARG',
    'ARG A B=c',
    {
      kind: 'arg',
      args: [
        { key: 'A', value: undefined },
        { key: 'B', value: 'c' },
      ],
    },
  ],
  ['CMD without anything', 'CMD []', { kind: 'cmd', command: { form: 'exec', args: [] } }],
  ['EXPOSE', 'EXPOSE 80 90/udp', { kind: 'expose', values: ['80', '90/udp'] }],
  ['VOLUME', 'VOLUME /a /b', { kind: 'volume', values: ['/a', '/b'] }],
  ['SHELL', 'SHELL ["a", "-c"]', { kind: 'shell', values: ['a', '-c'] }],
  ['ONBUILD', 'ONBUILD COPY . /x', { kind: 'onbuild', trigger: 'COPY . /x' }],
  [
    'HEALTHCHECK',
    'HEALTHCHECK --interval=1m30s --retries=3 CMD a',
    {
      kind: 'healthcheck',
      healthcheck: {
        test: { form: 'shell', text: 'a' },
        interval: 90e9,
        timeout: undefined,
        startPeriod: undefined,
        startInterval: undefined,
        retries: 3,
      },
    },
  ],
];
for (const [what, text, result] of accepted)
  test(`a Dockerfile has ${what}`, () => assert.deepEqual(parsed(text), [result]));

test('parser directives are read at the top only; with another escape a backslash is a backslash', () => {
  const { stages, escapeChar } = parseDockerfile(
    '# syntax=docker/dockerfile:1\n# escape=`\nFROM x\nRUN a `\nb\\\n# escape=\\\nRUN c',
  );
  assert.equal(escapeChar, '`');
  assert.deepEqual(
    stages[0]?.instructions.map(({ text }) => text),
    ['RUN a b\\', 'RUN c'],
  );
});

test('stages have their names, bases and platforms, and arguments may stand before the first', () => {
  const { globalArgs, stages } = parseDockerfile(
    'ARG V=1\nFROM --platform=linux/arm64 a:$V AS One\nFROM one\nRUN x',
  );
  assert.deepEqual(globalArgs[0]?.args, [{ key: 'V', value: '1' }]);
  assert.deepEqual(
    stages.map(({ name, base, platform, line }) => [name, base, platform, line]),
    [
      ['one', 'a:$V', 'linux/arm64', 2],
      [undefined, 'one', undefined, 3],
    ],
  );
});

const refused: readonly (readonly [string, RegExp])[] = [
  ['', /no instructions/],
  ['RUN x', /line 1: no build stage/],
  ['FROM x\nFOO y', /line 2: unknown instruction: "FOO"/],
  ['FROM', /one or three arguments/],
  ['FROM a b', /one or three arguments/],
  ['FROM a AS 1b', /invalid name for build stage/],
  ['FROM x\nCOPY a', /line 2: COPY requires at least two/],
  ['FROM x\n\nRUN --foo=1 x', /line 3: unknown flag: --foo/],
  ['FROM x\nCOPY --chown=1 --chown=2 a b', /duplicate flag/],
  ['FROM x\nENV', /ENV requires/],
  ['FROM x\nENV A', /must have two arguments/],
  ['FROM x\nENV A=b C', /can't find = in "C"/],
  ['FROM x\nENV =b', /can not be blank/],
  ['FROM x\nSHELL a', /JSON form/],
  ['FROM x\nRUN <<EOF\na', /unterminated heredoc "EOF"/],
  ['FROM x\nONBUILD FROM y', /isn't allowed/],
  ['FROM x\nONBUILD ONBUILD RUN a', /chaining/],
  ['FROM x\nHEALTHCHECK FOO', /unknown type/],
  ['FROM x\nHEALTHCHECK --interval=1 CMD a', /invalid duration/],
  ['FROM x\nRUN --mount=type=foo,target=/x a', /unsupported mount type/],
  ['FROM x\nRUN --mount=type=bind,foo=/x a', /unexpected key "foo"/],
  ['FROM x\nRUN --network=foo a', /network mode "foo"/],
  ['# escape=x\nFROM x', /invalid escape token/],
  ['# escape=`\n# escape=`\nFROM x', /only one escape/],
  ['FROM x\nCOPY a <<EOF\nEOF', /heredoc/],
];
for (const [text, message] of refused)
  test(`refused with ${message}: ${JSON.stringify(text)}`, () =>
    assert.throws(
      () => parseDockerfile(text),
      (error) => isHyperError(error, 'invalid-argument') && message.test(error.message),
    ));

test('a Dockerfile of megabytes is read in proportion to its size', () => {
  const line = `RUN ${'a'.repeat(50)} \\\n`;
  for (const text of [
    line.repeat(40_000),
    `ENV ${'A=b '.repeat(9_000)}`,
    `RUN ${'"'.repeat(1_000_001)}`,
    `RUN ${'<<'.repeat(500_000)}`,
    `LABEL a=${'\\'.repeat(1_000_000)}`,
  ])
    try {
      parseDockerfile(`FROM x\n${text}`);
    } catch (error) {
      assert.ok(isHyperError(error, 'invalid-argument'), String(error));
    }
});

test('whatever the text, it is read or refused with the line', () => {
  const word = fc.constantFrom(
    'FROM',
    'RUN',
    'COPY',
    'ENV',
    'ARG',
    'ONBUILD',
    'HEALTHCHECK',
    '--mount=',
    'type=bind',
    ',',
    '=',
    '\n',
    ' ',
    '\\',
    '<<',
    'EOF',
    '"',
    "'",
    '[',
    ']',
    '#',
    '`',
    'a',
    '\t',
    '\r',
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 60 }), (words) => {
      try {
        parseDockerfile(words.join(''));
      } catch (error) {
        assert.ok(isHyperError(error, 'invalid-argument') && /line \d+/.test(error.message), String(error));
      }
    }),
  );
});
