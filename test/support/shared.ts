// What the tests of one file have in common, from before the first to after the last of them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { type Client, createClient } from '../../packages/client/src/index.ts';
import { type DaemonOptions, prepareDaemon, type TestDaemon } from './daemon.ts';

/** Everything shared, to be disposed of in the other order than it was made in. */
const owned = new AsyncDisposableStack();
after(() => owned.disposeAsync());

/** Disposes of something after the tests. */
export function shared<T extends Disposable | AsyncDisposable>(resource: T): T {
  return owned.use(resource);
}

let starting: Promise<void> = Promise.resolve();

/** Has something done before the tests, when what is shared already has been started. Hooks of `node:test` would run side by side. */
export function atStart(work: () => Promise<void>): void {
  const started = starting.then(work);
  starting = started;
  before(() => started);
}

/** Has something done after the tests, before what is shared already is disposed of. */
export function atEnd(undo: () => void | Promise<void>): void {
  owned.defer(undo);
}

/** A daemon for all tests of the file: there for what is done `atStart` from then on, and for the tests. */
export function sharedDaemon(options?: DaemonOptions): TestDaemon {
  const daemon = shared(prepareDaemon(options));
  atStart(() => daemon.restart());
  return daemon;
}

/** A client of the daemon. */
export function sharedClient(daemon: TestDaemon): Client {
  return shared(createClient(`unix://${daemon.socket}`));
}

/** A new directory; `prefix` begins its name. */
export function sharedDirectory(prefix: string): string {
  const path = mkdtempSync(join(tmpdir(), prefix));
  atEnd(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
