import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOptions } from './options.ts';
import { timeOption } from './time-option.ts';
import { UsageError } from './usage-error.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

function read(text: string): Date | undefined {
  const specs = [{ name: 'since', value: 'TIME', help: '' }];
  return timeOption(parseOptions([`--since=${text}`], specs, { stopAtOperand: false }).options, 'since', NOW);
}

for (const [text, expected] of [
  ['12', 12_000],
  ['12.5', 12_500],
  ['10m', NOW - 600_000],
  ['1h30m', NOW - 5_400_000],
  ['1.5h', NOW - 5_400_000],
  ['250ms', NOW - 250],
  ['2d', NOW - 172_800_000],
  ['99999d', 0],
  ['1970-01-01T00:00:10Z', 10_000],
  ['2026-01-02T03:04:05.678912345Z', NOW + 678],
  ['2026-01-02T03:04:05+01:00', NOW - 3_600_000],
  ['2026-01-02', new Date(2026, 0, 2).getTime()],
  ['2026-01-02T03:04', new Date(2026, 0, 2, 3, 4).getTime()],
] as const) {
  test(`--since ${text} is that time`, () => assert.equal(read(text)?.getTime(), expected));
}

for (const text of [
  'yesterday',
  '',
  '10x',
  '1h30',
  '-5',
  '2026-13-01',
  '2026-01-02 nonsense',
  '1'.repeat(30),
]) {
  test(`--since "${text}" is refused`, () => assert.throws(() => read(text), UsageError));
}

test('an option that is not given is no time', () => {
  assert.equal(timeOption(parseOptions([], [], { stopAtOperand: false }).options, 'since'), undefined);
});
