import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { HyperError, messageOf } from '../errors.ts';
import { MIGRATIONS } from './migrations.ts';

/**
 * The daemon's state: one SQLite file in the root directory, held by one daemon at a time (SQLite's lock on a file of its own,
 * which the kernel drops with the process). Made by `openState`; `main.ts` disposes of it last.
 */
export interface State extends Disposable {
  readonly db: DatabaseSync;
  /** Runs `work` in a transaction: all of it is stored, or none. */
  transact<T>(work: () => T): T;
}

/**
 * Opens, and where needed makes or migrates, the state below `root`.
 * Throws `conflict` when another daemon holds the root, `corrupt` when the database is newer than this program or cannot be read.
 */
export function openState(root: string): State {
  mkdirSync(root, { recursive: true, mode: 0o711 });
  const lock = holdLock(root);
  const db = new DatabaseSync(join(root, 'state.db'));
  try {
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
    migrate(db);
  } catch (error) {
    db.close();
    lock.close();
    if (error instanceof HyperError) throw error;
    throw new HyperError('corrupt', `open state database ${join(root, 'state.db')}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return {
    db,
    transact(work) {
      if (db.isTransaction) return work();
      db.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        db.exec('ROLLBACK');
        throw error;
      }
    },
    [Symbol.dispose]() {
      db.close();
      lock.close();
    },
  };
}

function holdLock(root: string): DatabaseSync {
  const lock = new DatabaseSync(join(root, 'lock.db'), { timeout: 0 });
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;');
    return lock;
  } catch (error) {
    lock.close();
    throw new HyperError(
      'conflict',
      `use root directory ${root}: another hyperd is using it; stop that one or give --root another directory`,
      {
        cause: error,
      },
    );
  }
}

function migrate(db: DatabaseSync): void {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version > MIGRATIONS.length) {
    throw new HyperError(
      'corrupt',
      `open state database: its version ${version} is newer than this hyperd's ${MIGRATIONS.length}; use the newer hyperd or another --root`,
    );
  }
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index < version) continue;
    db.exec(`BEGIN IMMEDIATE; ${sql}; PRAGMA user_version = ${index + 1}; COMMIT`);
  }
}
