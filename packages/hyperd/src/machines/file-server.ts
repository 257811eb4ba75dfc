import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HyperError } from '../errors.ts';
import { guestText } from '../guest/index.ts';
import { endOf } from './console-file.ts';
import { type HostProcess, isAlive, processOfPidFile, startTicksOf } from './host-process.ts';
import type { SharedPath } from './machine.ts';

/** Where Debian has virtiofsd. */
const VIRTIOFSD = ['/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd'];
const START_TIMEOUT_MS = 15_000;
const RETRY_MS = 3;
const SAID_BYTES = 1024;

/** Serves directories and files of the host to one machine, in a process that outlives the daemon. */
export interface FileServers {
  /**
   * Starts one in the machine's `directory`, where all its files begin with `name`. Resolves once it listens, with its socket and how many files it
   * can have open; it ends when the machine's connection does. Rejects `machine` with what it said; nothing is left running then.
   */
  start(request: {
    readonly directory: string;
    readonly name: string;
    readonly paths: readonly SharedPath[];
    /** The process is there: told before anything is waited for. */
    readonly onSpawn: (process: HostProcess) => void;
  }): Promise<{ readonly socketPath: string; readonly files: number }>;
}

/** `helper`: the program that puts the shared paths together (host/share-files.c). */
export function createFileServers(helper: string): FileServers {
  return {
    async start({ directory, name, paths, onSpawn }) {
      const what = `share ${paths.map(({ path }) => `"${path}"`).join(', ')} with the machine`;
      const virtiofsd = findProgram(what);
      const base = join(directory, name);
      const args = [virtiofsd, directory, name];
      for (const { path, readOnly } of paths) args.push(readOnly ? 'ro' : 'rw', path);
      const child = spawnDetached(helper, args, `${base}.log`);
      let failure: Error | undefined;
      child.once('error', (error) => {
        failure = error;
      });
      const startTicks = child.pid === undefined ? undefined : startTicksOf(child.pid);
      if (child.pid === undefined || startTicks === undefined) {
        await new Promise((resolve) => setImmediate(resolve));
        throw new HyperError('machine', `${what}: ${failure?.message ?? (await said(base))}`);
      }
      const process_ = { pid: child.pid, startTicks };
      onSpawn(process_);
      await listening(`${base}.sock`, process_, async () => `${what}: ${await said(base)}`);
      return { socketPath: `${base}.sock`, files: await openFilesLimit(process_.pid) };
    },
  };
}

/** As /proc tells it; 0 where it has no limit. */
async function openFilesLimit(pid: number): Promise<number> {
  const limits = await readFile(`/proc/${pid}/limits`, 'utf8');
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 0);
}

/** What a file server has said last. */
export async function said(base: string): Promise<string> {
  const text = await endOf(`${base}.log`, SAID_BYTES);
  return guestText(text.trim()) || 'it has left no message';
}

/** The file server that told its pid below `base`, if it is still that one. */
export function fileServerAt(base: string, directory: string): Promise<HostProcess | undefined> {
  return processOfPidFile(`${base}.pid`, directory);
}

function spawnDetached(program: string, args: readonly string[], logPath: string): ChildProcess {
  const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL } = constants;
  const log = openSync(logPath, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0o600); // the machine's process can write there
  try {
    const child = spawn(program, [...args], { stdio: ['ignore', log, log], detached: true, cwd: '/' });
    child.unref();
    return child;
  } finally {
    closeSync(log);
  }
}

function findProgram(what: string): string {
  const found = VIRTIOFSD.find((path) => {
    try {
      accessSync(path);
      return true;
    } catch {
      return false; // the next one may be there
    }
  });
  if (found) return found;
  throw new HyperError(
    'machine',
    `${what}: no virtiofsd at ${VIRTIOFSD.join(' or ')}; install qemu-system-common`,
  );
}

/** The socket is bound only when it listens: nothing connects before the machine does. */
async function listening(path: string, process_: HostProcess, failure: () => Promise<string>): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return;
    if (!isAlive(process_)) throw new HyperError('machine', await failure());
    if (performance.now() > deadline)
      throw new HyperError('timeout', `${await failure()}: not within ${START_TIMEOUT_MS} ms`);
    await sleep(RETRY_MS);
  }
}
