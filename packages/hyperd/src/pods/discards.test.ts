import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { Discards } from './discards.ts';

test('a directory is out of sight at once, its name free again, and deleted a moment later', async (context) => {
  const root = mkdtempSync(join(tmpdir(), 'discards-'));
  context.after(() => rmSync(root, { recursive: true, force: true }));
  const discards = new Discards(pino({ level: 'silent' }));
  const path = join(root, 'web');
  for (const content of ['one', 'two']) {
    mkdirSync(path);
    writeFileSync(join(path, 'scratch.img'), content);
    await discards.discard(path);
    assert.ok(!readdirSync(root).includes('web'));
  }
  await discards.discard(path); // not there any more
  await discards.settle();
  assert.deepEqual(readdirSync(root), []);
});
