import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseOptions } from './options.ts';
import { podFromFile } from './pod-file.ts';
import { POD_OPTIONS } from './pod-options.ts';

const directory = mkdtempSync(join(tmpdir(), 'pod-file-'));
after(() => rmSync(directory, { recursive: true }));
const file = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};
const json = file('web.pod', '{"id":"web"}');
const yaml = file('web.yaml', 'id: web\n');
const plain = file('web', 'id: web\n');

const read = (args: readonly string[]) => {
  const { options, operands } = parseOptions(args, POD_OPTIONS, { stopAtOperand: true });
  return podFromFile(options, operands, process.stdin);
};

for (const [args, operands] of [
  [['-p', json], []],
  [['-p', yaml], []],
  [['-p', plain, '-y'], []],
  [['-y', '-p', plain], []],
  [['-y', plain], []],
  [['--yaml', plain, 'rest'], ['rest']],
  [['-p', json, 'rest'], ['rest']],
] as const) {
  const shown = args.map((arg) => arg.replace(`${directory}/`, '')).join(' ');
  test(`"${shown}" is the pod of the file`, async () => {
    assert.deepEqual(await read(args), { pod: { id: 'web' }, operands });
  });
}

test('without a file the operands are as they were', async () => {
  assert.deepEqual(await read(['busybox', 'ls']), { pod: undefined, operands: ['busybox', 'ls'] });
});

test('YAML that is not said to be any is refused with the name of the file', async () => {
  await assert.rejects(read(['-p', plain]), /read pod from ".*web": /);
});
