import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process of the host that may not be our child: pid and start time together never come twice. */
export interface HostProcess {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, in clock ticks since boot. */
  readonly startTicks: number;
}

/** The start time of `pid`; undefined when there is no such process, or only its zombie. */
export function startTicksOf(pid: number): number | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined; // no such process, which is an answer
  }
}

/** The start time in a line of /proc/PID/stat; undefined for a zombie. The command in parentheses may hold anything. */
export function parseStat(stat: string): number | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
}

export function isAlive({ pid, startTicks }: HostProcess): boolean {
  return startTicksOf(pid) === startTicks;
}

/** Kills the process, unless its pid has become another's. */
export function kill(process_: HostProcess): void {
  if (!isAlive(process_)) return;
  try {
    process.kill(process_.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Resolves with true once the process is gone, with false after `timeoutMs`. */
export async function gone(process_: HostProcess, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let wait = 1; isAlive(process_); wait = Math.min(wait * 2, 50)) {
    if (performance.now() > deadline) return false;
    await sleep(wait);
  }
  return true;
}

/** True when the command line of `pid` holds `text`. */
export function commandLineHolds(pid: number, text: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
  } catch {
    return false; // no such process
  }
}

/** The process whose pid is in the file, if it is still that one: its command line holds `text`. */
export async function processOfPidFile(path: string, text: string): Promise<HostProcess | undefined> {
  const content = await readFile(path, 'utf8').catch(() => ''); // none was written
  const pid = Number.parseInt(content, 10);
  if (!(pid > 1) || !commandLineHolds(pid, text)) return undefined;
  const startTicks = startTicksOf(pid);
  return startTicks === undefined ? undefined : { pid, startTicks };
}

/** Gives all threads of the process this niceness. One that has ended meanwhile is no error; what the host forbids throws. */
export function setNiceness({ pid }: HostProcess, niceness: number): void {
  try {
    // To the kernel every thread has a niceness of its own, which new ones inherit.
    for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), niceness);
  } catch (error) {
    const { code, info } = error as NodeJS.ErrnoException & { info?: { code?: string } };
    if (code !== 'ENOENT' && info?.code !== 'ESRCH') throw error;
  }
}
