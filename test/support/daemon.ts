import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GUEST_ARGS } from './guest.ts';

const repository = join(import.meta.dirname, '../..');
const START_TIMEOUT_MS = 60_000;
const COMMAND_TIMEOUT_MS = 120_000;

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface TestDaemon extends AsyncDisposable {
  readonly root: string;
  readonly socket: string;
  /** Throws where it has not been started yet. */
  readonly process: ChildProcess;
  /** What it was started with. */
  readonly commandLine: readonly string[];
  /** Runs `bin/hyperctl` against this daemon. */
  hyperctl(
    args: readonly string[],
    options?: { readonly input?: string; readonly env?: NodeJS.ProcessEnv },
  ): Promise<CommandResult>;
  /** The same, left running. */
  spawnHyperctl(args: readonly string[]): ChildProcess;
  /** `kill -9`, and nothing else. */
  kill(): Promise<void>;
  /** Asks it to end, and waits until it has. */
  terminate(): Promise<void>;
  /** Starts it on its root, once more as a rule. */
  restart(): Promise<void>;
  /** Pids of the machines that belong to this root. */
  machinePids(): number[];
  log(): string;
}

export interface DaemonOptions {
  readonly args?: readonly string[];
  /** Run as this user and group id. */
  readonly uid?: number;
  /** A program with arguments that runs it, and becomes it. */
  readonly runner?: readonly string[];
  /** Its root directory (default: one in a temporary directory). */
  readonly root?: string;
  /** Variables of its environment besides the test's own. */
  readonly env?: NodeJS.ProcessEnv;
  /** Whether it has a pool of machines: without, its machines are those of its pods. Default: false, unlike the daemon's own. */
  readonly pool?: boolean;
  /** Where `bin/` lies (default: this repository). */
  readonly checkout?: string;
}

/** Starts a real hyperd on a root of its own; disposing removes its pods, stops it, and removes the root. */
export async function startDaemon(options: DaemonOptions = {}): Promise<TestDaemon> {
  const daemon = prepareDaemon(options);
  try {
    await daemon.restart();
    return daemon;
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
}

/** As `startDaemon`, but it is for the caller to start it. */
export function prepareDaemon(options: DaemonOptions = {}): TestDaemon {
  const root = mkdtempSync(join(tmpdir(), 'hyt-'));
  if (options.uid !== undefined) chownSync(root, options.uid, options.uid);
  const bin = join(options.checkout ?? repository, 'bin');
  const socket = join(root, 'hyper.sock');
  const env = { ...process.env, HYPER_HOST: `unix://${socket}`, HOME: root, XDG_CACHE_HOME: root };
  const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
  const daemonRoot = options.root ?? join(root, 'r');
  const commandLine = [
    ...[...(options.runner ?? []), join(bin, 'hyperd'), '--root', daemonRoot],
    ...[
      '--host',
      `unix://${socket}`,
      ...GUEST_ARGS,
      ...(options.pool ? [] : ['--pool-max', '0']),
      ...(options.args ?? []),
    ],
  ];
  let child: ChildProcess | undefined;

  function launch(): ChildProcess {
    const log = openSync(join(root, 'daemon.log'), 'a');
    const [program = '', ...args] = commandLine;
    const stdio = ['ignore' as const, log, log];
    const child = spawn(program, args, {
      ...{ stdio, env: { ...env, ...options.env }, cwd: root, ...identity },
    });
    closeSync(log);
    return child;
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const { process } = daemon;
    process.kill(signal);
    if (process.exitCode === null && process.signalCode === null) await once(process, 'exit');
  }

  const daemon: TestDaemon = {
    root: daemonRoot,
    socket,
    commandLine,
    get process() {
      if (!child) throw new Error('the daemon has not been started');
      return child;
    },
    spawnHyperctl(args) {
      return spawn(join(bin, 'hyperctl'), [...args], { env, cwd: root, ...identity });
    },
    async hyperctl(args, { input, env: extra } = {}) {
      const command = spawn(join(bin, 'hyperctl'), [...args], {
        ...{ env: { ...env, ...extra }, cwd: root, timeout: COMMAND_TIMEOUT_MS, ...identity },
      });
      return collect(command, input);
    },
    kill: () => end('SIGKILL'),
    terminate: () => end('SIGTERM'),
    async restart() {
      child = launch();
      await answering(socket, child, daemon.log);
    },
    machinePids: () => pidsMentioning(daemonRoot, 'qemu'),
    log: () => readFileSync(join(root, 'daemon.log'), 'utf8'),
    async [Symbol.asyncDispose]() {
      if (child?.exitCode === null && child.signalCode === null) {
        await daemon.hyperctl(['rm', '-a']);
        await daemon.terminate();
      }
      for (const pid of daemon.machinePids()) process.kill(pid, 'SIGKILL');
      rmSync(root, { recursive: true, force: true });
    },
  };
  return daemon;
}

/** Collects what a command writes until it ends. */
export async function collect(command: ChildProcess, input?: string): Promise<CommandResult> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  command.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  command.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  command.stdin?.on('error', () => command.stdin?.destroy()); // it may end without reading
  command.stdin?.end(input ?? '');
  const code = await new Promise<number | null>((resolve, reject) => {
    command.once('error', reject);
    command.once('close', resolve);
  });
  return { code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

async function answering(socket: string, child: ChildProcess, log: () => string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`hyperd ended with ${child.exitCode ?? child.signalCode}:\n${log()}`);
    if (await ping(socket)) return;
    await sleep(50);
  }
  throw new Error(`hyperd did not answer within ${START_TIMEOUT_MS} ms:\n${log()}`);
}

function ping(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path: '/_ping', timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.on('error', () => resolve(false));
    call.on('timeout', () => call.destroy());
    call.end();
  });
}

/** Pids whose command line has both texts. */
export function pidsMentioning(path: string, program: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8');
        return command.includes(path) && command.includes(program);
      } catch {
        return false; // it has just ended
      }
    })
    .map(Number);
}

/** Waits until `condition` holds; fails with `what` after `timeoutMs`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(50);
  }
}
