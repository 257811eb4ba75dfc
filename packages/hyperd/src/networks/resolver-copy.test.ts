import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { copyResolver } from './resolver-copy.ts';

test("a copy of the host's resolv.conf is written where it is not what it should be, and only there", async () => {
  const directory = mkdtempSync(join(tmpdir(), 'resolver-'));
  const path = join(directory, 'resolver/resolv.conf');
  const logger = pino({ level: 'silent' });
  try {
    (await copyResolver(path, logger))[Symbol.dispose]();
    const { ino } = statSync(path);
    const text = readFileSync(path, 'utf8');
    (await copyResolver(path, logger))[Symbol.dispose]();
    assert.equal(statSync(path).ino, ino);
    writeFileSync(path, 'of another day');
    (await copyResolver(path, logger))[Symbol.dispose]();
    assert.equal(readFileSync(path, 'utf8'), text);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
