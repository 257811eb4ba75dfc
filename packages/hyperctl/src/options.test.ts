import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type OptionSpec, parseOptions } from './options.ts';
import { UsageError } from './usage-error.ts';

const specs: readonly OptionSpec[] = [
  { name: 'tty', short: 't', help: '' },
  { name: 'interactive', short: 'i', help: '' },
  { name: 'env', short: 'e', value: 'KEY=VALUE', repeats: true, help: '' },
  { name: 'name', value: 'NAME', help: '' },
  { name: 'cpu', value: 'N', help: '' },
];

const read = (args: readonly string[], stopAtOperand = true): unknown[] => {
  const { options, operands } = parseOptions(args, specs, { stopAtOperand });
  return [
    options.flag('tty'),
    options.flag('interactive'),
    options.all('env'),
    options.text('name'),
    operands,
  ];
};

const lines: readonly (readonly [string, readonly string[], unknown[]])[] = [
  ['nothing', [], [false, false, [], undefined, []]],
  ['a flag', ['-t'], [true, false, [], undefined, []]],
  ['flags in one', ['-it', 'x'], [true, true, [], undefined, ['x']]],
  ['a value behind flags', ['-iteA=1'], [true, true, ['A=1'], undefined, []]],
  ['a value in the next argument', ['-e', 'A=1', '--name', 'n'], [false, false, ['A=1'], 'n', []]],
  ['a value with an equals sign', ['--env=A=1', '-e=B=2'], [false, false, ['A=1', 'B=2'], undefined, []]],
  ['an empty value', ['--name='], [false, false, [], '', []]],
  ['a flag turned off', ['--tty', '--tty=false'], [false, false, [], undefined, []]],
  [
    "the command's own options",
    ['img', '-t', '--bogus'],
    [false, false, [], undefined, ['img', '-t', '--bogus']],
  ],
  ['options after --', ['-t', '--', '-i', 'x'], [true, false, [], undefined, ['-i', 'x']]],
  ['a value that looks like an option', ['--name', '-t'], [false, false, [], '-t', []]],
  ['a dash as operand', ['-'], [false, false, [], undefined, ['-']]],
];
for (const [what, args, expected] of lines) {
  test(`parseOptions() reads ${what}`, () => assert.deepEqual(read(args), expected));
}

test('parseOptions() takes options behind operands where the command has no command of its own', () => {
  assert.deepEqual(read(['a', '-t', 'b'], false), [true, false, [], undefined, ['a', 'b']]);
});

for (const [args, message] of [
  [['--bogus'], 'unknown option "--bogus"'],
  [['--bogus=1'], 'unknown option "--bogus"'],
  [['-x'], 'unknown option "-x"'],
  [['-tx'], 'unknown option "-x" in "-tx"'],
  [['--name'], 'option "--name" needs a value'],
  [['-e'], 'option "-e" needs a value'],
  [['--tty=maybe'], 'option "--tty" is a flag; its value is "maybe", want true or false'],
] as const) {
  test(`parseOptions() refuses ${args.join(' ')}`, () => {
    assert.throws(() => read(args), new UsageError(message));
  });
}

for (const text of ['0', 'x', '1.5', '-1', '']) {
  test(`integer() refuses "${text}"`, () => {
    const { options } = parseOptions([`--cpu=${text}`], specs, { stopAtOperand: true });
    assert.throws(() => options.integer('cpu', 1), UsageError);
  });
}

test('parseOptions() reads any line or refuses it with UsageError, and leaves what follows -- alone', () => {
  const words = fc.array(fc.oneof(fc.string(), fc.constantFrom('-t', '-e', '--name', '--', '-it')));
  fc.assert(
    fc.property(words, fc.array(fc.string()), (before, after) => {
      try {
        const { operands } = parseOptions([...before, '--', ...after], specs, { stopAtOperand: false });
        if (!before.includes('--') && !['-e', '--name'].includes(before.at(-1) ?? '')) {
          assert.deepEqual(operands.slice(operands.length - after.length), after);
        }
      } catch (error) {
        assert.ok(error instanceof UsageError);
      }
    }),
  );
});
