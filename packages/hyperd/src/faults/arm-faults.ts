import childProcess from 'node:child_process';
import fs from 'node:fs';
import { ServerResponse } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { getSystemErrorMessage } from 'node:util';
import { FaultCounter, parseFaultPlan } from './fault-plan.ts';
import { faultPoint, listenAtFaultPoints } from './fault-point.ts';

/** Calls that change files, by what comes first: a path. */
const BY_PATH = [
  'mkdir',
  'writeFile',
  'rename',
  'rm',
  'rmdir',
  'unlink',
  'truncate',
  'link',
  'symlink',
  'copyFile',
];
const BY_PATH_SYNC = [...BY_PATH, 'chmod', 'chown'].map((name) => `${name}Sync`);
/** What of an open file, and what its points are called. */
const BY_HANDLE = {
  ...{ sync: 'sync', datasync: 'sync', truncate: 'truncate' },
  ...{ write: 'write', writev: 'write', writeFile: 'write', appendFile: 'write' },
};
const BY_DESCRIPTOR_SYNC = ['writeSync', 'ftruncateSync', 'fsyncSync', 'fdatasyncSync'];
const WRITES = /[wax+]/;

const originalOpen = fs.openSync;

type Callable = (...args: unknown[]) => unknown;
type Methods = Record<string, Callable>;

/**
 * Makes a fault point (`faultPoint`) of everything that lasts: each write of the database, each change of a file, each process that is started and each
 * answer to a client, by wrapping what Node has for it, so that no code can be forgotten. The point comes before the action; its name is the action
 * with what it acts on ("rename images/blobs", "insert pods", "spawn qemu-system-x86_64").
 *
 * `setting` is a plan (`parseFaultPlan`), or `@PATH` of a file that holds one and is read at every point: counting begins again when it changes.
 * For tests; called before anything else, and only where HYPERD_FAULT is set.
 */
export function armFaults(setting: string): void {
  const { readFileSync, writeSync } = fs;
  const readPlan = (): string => (setting.startsWith('@') ? readFileSync(setting.slice(1), 'utf8') : setting);
  let text = readPlan();
  let counter = new FaultCounter(parseFaultPlan(text));
  listenAtFaultPoints((name) => {
    const now = readPlan();
    if (now !== text) counter = new FaultCounter(parseFaultPlan(now));
    text = now;
    const { plan } = counter;
    if (plan.kind === 'none') return;
    const { count, isIt } = counter.pass(name);
    if (plan.kind === 'trace') writeSync(2, `fault-point ${name}#${count}\n`);
    if (!isIt || plan.kind !== 'fault') return;
    writeSync(2, `fault-point ${name}#${count}: the fault\n`);
    if (plan.error !== undefined) throw systemError(plan.error, name);
    process.kill(process.pid, 'SIGKILL');
  });
  wrapFiles();
  wrapProcesses();
  wrapDatabase();
  wrapAnswers();
  syncBuiltinESMExports();
}

function wrapFiles(): void {
  const [promises, sync] = [fs.promises as unknown as Methods, fs as unknown as Methods];
  for (const name of BY_PATH) wrapAsync(promises, name, (path) => `${name} ${placeOf(path)}`);
  leavePart(promises);
  for (const name of BY_PATH_SYNC) wrap(sync, name, (path) => `${name} ${placeOf(path)}`);
  for (const name of BY_DESCRIPTOR_SYNC)
    wrap(sync, name, (descriptor) => (Number(descriptor) > 2 ? name : undefined)); // 2: the daemon's own log
  const opened = (path: unknown, flags: unknown): string | undefined =>
    WRITES.test(String(flags ?? 'r')) ? `open ${placeOf(path)}` : undefined;
  wrapAsync(promises, 'open', opened);
  wrap(sync, 'openSync', opened);
  // The class of open files is not exported.
  const open = promises.open as unknown as (path: string) => Promise<fs.promises.FileHandle>;
  void open('/dev/null').then(async (file) => {
    const methods = Object.getPrototypeOf(file) as Methods;
    for (const [name, called] of Object.entries(BY_HANDLE)) wrapAsync(methods, name, () => `${called} file`);
    await file.close();
  });
}

/** A file that cannot be written whole is there nevertheless, with a part of what it was to hold. */
function leavePart(promises: Methods): void {
  const faulty = promises.writeFile as Callable;
  promises.writeFile = async (path, ...rest) => {
    try {
      return await faulty(path, ...rest);
    } catch (error) {
      if (isPlanned(error)) fs.closeSync(originalOpen(path as string, 'w'));
      throw error;
    }
  };
}

function wrapProcesses(): void {
  const methods = childProcess as unknown as Methods;
  wrap(methods, 'spawn', (program) => `spawn ${basename(String(program))}`);
}

function wrapDatabase(): void {
  const statements = StatementSync.prototype as unknown as Methods & { readonly sourceSQL: string };
  for (const name of ['run', 'get', 'all']) {
    const original = statements[name] as Callable;
    statements[name] = function (this: StatementSync, ...args) {
      const change = changeOf(this.sourceSQL);
      if (change !== undefined) faultPoint(change);
      return original.apply(this, args);
    };
  }
  wrap(DatabaseSync.prototype as unknown as Methods, 'exec', (sql) => changeOf(String(sql)));
}

/** The end of an answer: everything is done by then, and the client does not know. */
function wrapAnswers(): void {
  wrap(ServerResponse.prototype as unknown as Methods, 'end', () => 'answer');
}

/** "insert pods" of a statement that changes something. */
function changeOf(sql: string): string | undefined {
  const [, verb = '', table = ''] =
    /^\s*(insert|update|delete|commit)\b(?:\s+or\s+\w+)?(?:\s+into|\s+from)?\s*(\w*)/i.exec(sql) ?? [];
  return verb === '' ? undefined : `${verb.toLowerCase()} ${table}`.trim();
}

function wrap(target: Methods, name: string, nameOf: (...args: unknown[]) => string | undefined): void {
  const original = target[name] as Callable;
  target[name] = function (this: unknown, ...args) {
    const point = nameOf(...args);
    if (point !== undefined) faultPoint(point);
    return original.apply(this, args);
  };
}

/** As `wrap`, for what returns promises: a fault rejects. */
function wrapAsync(target: Methods, name: string, nameOf: (...args: unknown[]) => string | undefined): void {
  const original = target[name] as Callable;
  target[name] = async function (this: unknown, ...args) {
    const point = nameOf(...args);
    if (point !== undefined) faultPoint(point);
    return original.apply(this, args);
  };
}

/** The last two names of a path, without what differs from run to run. */
function placeOf(path: unknown): string {
  return String(path)
    .split('/')
    .slice(-2)
    .map((name) =>
      name
        .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{12,}/g, '*')
        .replace(/^(vm|pod)-\w+$/, '$1-*')
        .replace(/^(scratch-\d+)-\w+/, '$1-*')
        .replace(/-\w{6}$/, '-*') // of mkdtemp
        .replace(/\d+/g, '*'),
    )
    .join('/');
}

const planned = new WeakSet<object>();

function systemError(code: string, name: string): NodeJS.ErrnoException {
  const errno = constants.errno[code as keyof typeof constants.errno] ?? constants.errno.EIO;
  const said = `${code}: ${getSystemErrorMessage(-errno)}, ${name} (planned for a test)`;
  const error = Object.assign(new Error(said), { code, errno: -errno, syscall: name });
  planned.add(error);
  return error;
}

function isPlanned(error: unknown): boolean {
  return typeof error === 'object' && error !== null && planned.has(error);
}
