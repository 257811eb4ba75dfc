import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { boundConsole, endOf } from './console-file.ts';

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'console-'));
});
after(() => rmSync(directory, { recursive: true }));

test('a console that has grown is cut to its end', async () => {
  const path = join(directory, 'long');
  writeFileSync(path, `${'x'.repeat(2 ** 20)}the end`);
  await boundConsole(path);
  assert.equal(statSync(path).size, 16_384);
  assert.equal(await endOf(path, 7), 'the end');
  assert.equal(await endOf(join(directory, 'none'), 7), '');
});

test('what a machine has put in the place of its files is neither read, cut nor waited for', async () => {
  const secret = join(directory, 'secret');
  writeFileSync(secret, 's'.repeat(2 ** 20 + 1));
  const link = join(directory, 'link');
  symlinkSync(secret, link);
  await assert.rejects(boundConsole(link), /ELOOP/);
  assert.equal(readFileSync(secret).length, 2 ** 20 + 1);
  assert.equal(await endOf(link, 100), '');
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(boundConsole(pipe), /it is not a file/);
  assert.equal(await endOf(pipe, 100), '');
});
