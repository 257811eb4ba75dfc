import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { HyperError, messageOf } from '../errors.ts';
import { hostFailure, isOutOfRoom } from '../host-failure.ts';
import type { Ailment } from '../upkeep/index.ts';
import { LaterSync } from './later-sync.ts';
import { MIGRATIONS } from './migrations.ts';
import { OwedWrites } from './owed-writes.ts';
import { Reserve } from './reserve.ts';

const SQLITE_BUSY = 5;
const MAX_FAULTS = 5;
const DAMAGE_ADVICE =
  'put a copy of it back, or what "sqlite3 state.db .recover" can save; or move it away to begin with nothing: pods are forgotten then and their machines end, volumes stay';

/**
 * The daemon's state: one SQLite file in the root directory, held by one daemon at a time (SQLite's lock on a file of its own,
 * which the kernel drops with the process). Made by `openState`; `main.ts` disposes of it last.
 */
export interface State extends Disposable {
  readonly db: DatabaseSync;
  /** Runs `work` in a transaction: all of it is stored, or none. */
  transact<T>(work: () => T): T;
  /** Writes of what has happened already. */
  readonly owed: OwedWrites;
  /** Runs `work`, which writes so that something can be removed: where the disk is full, in the room that is kept for that. */
  toRemove<T>(work: () => T): T;
  /** What is wrong with the database's file. */
  examine(): Ailment[];
  /**
   * Stores what `work` writes without waiting for the disk, where it is a moment later: it outlives this process at once, and the host's power from then on.
   * For what is written while somebody waits for a pod.
   */
  withoutSync(work: () => void): void;
}

/**
 * Opens, and where needed makes or migrates, the state below `root`.
 * Throws `conflict` when another daemon holds the root, `corrupt` when the database is newer than this program or cannot be read.
 */
export function openState(root: string): State {
  mkdirSync(root, { recursive: true, mode: 0o711 });
  // Without a daemon nothing could be removed from a full disk.
  using made = new DisposableStack();
  const reserve = made.use(new Reserve(join(root, 'reserve')));
  const lock = made.adopt(
    reserve.spend(() => holdLock(root)),
    (held) => held.close(),
  );
  const db = reserve.spend(() => openDatabase(join(root, 'state.db')));
  made.move();
  const laterSync = new LaterSync(join(root, 'state.db-wal'));
  const owed = new OwedWrites();
  return {
    db,
    owed,
    transact(work) {
      if (db.isTransaction) return work();
      db.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK'); // a full disk has ended it already
        throw error;
      }
    },
    toRemove: (work) => (db.isTransaction ? work() : reserve.spend(work)),
    examine: () =>
      faultsOf(db).map((fault) => ({
        problem: `the state database ${join(root, 'state.db')} is damaged: ${fault}`,
        remedy: `stop the daemon; ${DAMAGE_ADVICE}`,
      })),
    withoutSync(work) {
      if (db.isTransaction) return work();
      db.exec('PRAGMA synchronous = NORMAL');
      try {
        work();
      } finally {
        db.exec('PRAGMA synchronous = FULL');
      }
      laterSync.ask();
    },
    [Symbol.dispose]() {
      owed[Symbol.dispose]();
      reserve[Symbol.dispose]();
      laterSync[Symbol.dispose]();
      db.close();
      lock.close();
    },
  };
}

/** Environments of containers may hold secrets, and the root directory can be passed through. SQLite makes further files as the first one is. */
function closeToOthers(root: string): void {
  for (const name of ['state.db', 'state.db-wal', 'state.db-shm'])
    if (existsSync(join(root, name))) chmodSync(join(root, name), 0o600);
}

function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    closeToOthers(dirname(path));
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
    requireWhole(db);
    migrate(db);
    return db;
  } catch (error) {
    db.close();
    if (error instanceof HyperError) throw error;
    const what = `open state database ${path}`;
    if (isOutOfRoom(error)) throw hostFailure(error, what);
    throw new HyperError('corrupt', `${what}: ${messageOf(error)}; ${DAMAGE_ADVICE}`, { cause: error });
  }
}

/** A damaged database is not worked with: what it does not tell of would be taken for a stray, and ended. */
function requireWhole(db: DatabaseSync): void {
  const [fault] = faultsOf(db);
  if (fault !== undefined) throw new Error(`it is damaged (${fault})`);
}

function faultsOf(db: DatabaseSync): string[] {
  const rows = db.prepare(`PRAGMA quick_check(${MAX_FAULTS})`).all() as { quick_check: string }[];
  return rows.map(({ quick_check: said }) => said).filter((said) => said !== 'ok');
}

function holdLock(root: string): DatabaseSync {
  const lock = new DatabaseSync(join(root, 'lock.db'), { timeout: 0 });
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;');
    return lock;
  } catch (error) {
    lock.close();
    const what = `use root directory ${root}`;
    if (!isBusy(error)) throw hostFailure(error, what) ?? error;
    throw new HyperError(
      'conflict',
      `${what}: another hyperd is using it; stop that one or give --root another directory`,
      {
        cause: error,
      },
    );
  }
}

function isBusy(error: unknown): boolean {
  return ((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY;
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
