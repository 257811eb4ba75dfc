import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { openState } from './database.ts';

function inRoot(work: (root: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'state-'));
  try {
    work(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('a root has one owner at a time', () =>
  inRoot((root) => {
    const first = openState(root);
    assert.throws(
      () => openState(root),
      (error) => isHyperError(error, 'conflict') && /another hyperd/.test(error.message),
    );
    first[Symbol.dispose]();
    openState(root)[Symbol.dispose]();
  }));

test('a transaction is stored whole or not at all', () =>
  inRoot((root) => {
    using state = openState(root);
    const insert = (key: string) => state.db.prepare('INSERT INTO settings VALUES (?, ?)').run(key, 'x');
    assert.throws(() =>
      state.transact(() => {
        insert('a');
        throw new Error('in between');
      }),
    );
    state.transact(() => insert('b'));
    const keys = state.db.prepare('SELECT key FROM settings').all();
    assert.deepEqual(
      keys.map((row) => row.key),
      ['b'],
    );
  }));

test('what does not wait for the disk is stored all the same, and what follows waits again', () =>
  inRoot((root) => {
    {
      using state = openState(root);
      state.withoutSync(() => state.db.prepare('INSERT INTO settings VALUES (?, ?)').run('soon', 'x'));
      assert.throws(() =>
        state.withoutSync(() => {
          throw new Error('in between');
        }),
      );
      assert.deepEqual(Object.values(state.db.prepare('PRAGMA synchronous').get() ?? {}), [2]); // FULL
    }
    using state = openState(root);
    assert.equal(state.db.prepare('SELECT key FROM settings').all().length, 1);
  }));

test('a database of a newer hyperd, or one that is none, is refused', () => {
  inRoot((root) => {
    {
      using state = openState(root);
      state.db.exec('PRAGMA user_version = 999');
    }
    assert.throws(() => openState(root), /newer/);
  });
  inRoot((root) => {
    writeFileSync(join(root, 'state.db'), 'x'.repeat(5000));
    assert.throws(
      () => openState(root),
      (error) => isHyperError(error, 'corrupt'),
    );
  });
});
