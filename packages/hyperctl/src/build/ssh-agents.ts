import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UsageError } from '../usage-error.ts';

const AGENT_START_MS = 5_000;
const LOOK_INTERVAL_MS = 20;
/** What ends hyperctl, and must end its agent with it. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The sockets of the ssh agents that a build may ask, by name. Disposing ends what was started for them. */
export interface SshAgents extends AsyncDisposable {
  readonly sockets: ReadonlyMap<string, string>;
}

/** What `--ssh` says: `NAME` is the user's own agent, `NAME=SOCKET` another, `NAME=KEY[,KEY…]` one of its own with these keys. Throws UsageError. */
export async function openSshAgents(options: readonly string[]): Promise<SshAgents> {
  const sockets = new Map<string, string>();
  const ends: (() => Promise<void>)[] = [];
  const end = async (): Promise<void> => {
    for (const work of ends.splice(0)) await work();
  };
  try {
    for (const text of options) {
      const [name = '', places = ''] = text.split(/=(.*)/s, 2);
      if (!/^[\w.-]{1,128}$/.test(name) || sockets.has(name))
        throw new UsageError(`--ssh is "${text}", want NAME, NAME=SOCKET or NAME=KEY, each name once`);
      sockets.set(name, await socketOf(text, places, ends));
    }
  } catch (error) {
    await end();
    throw error;
  }
  return { sockets, [Symbol.asyncDispose]: end };
}

async function socketOf(option: string, places: string, ends: (() => Promise<void>)[]): Promise<string> {
  const paths = places.split(',').filter((path) => path !== '');
  const own = process.env.SSH_AUTH_SOCK;
  if (paths.length === 0 && !own)
    throw new UsageError(
      `--ssh ${option}: no ssh agent runs here (SSH_AUTH_SOCK is not set); name a socket or a key`,
    );
  const [first = own as string, ...more] = paths;
  const status = await stat(first).catch((error: Error) => {
    throw new UsageError(`--ssh ${option}: ${error.message}`);
  });
  if (!status.isSocket()) return agentWith(paths, ends);
  if (more.length > 0) throw new UsageError(`--ssh ${option}: want one socket, or keys`);
  return first;
}

/** An agent for this build, with these keys; asks for their passphrases. */
async function agentWith(keys: readonly string[], ends: (() => Promise<void>)[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hyperctl-ssh-'));
  ends.push(() => rm(directory, { recursive: true, force: true }));
  const socket = join(directory, 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  const interrupted = (signal: NodeJS.Signals): void => {
    agent.kill();
    rmSync(directory, { recursive: true, force: true });
    process.kill(process.pid, signal); // nobody listens any more
  };
  for (const signal of SIGNALS) process.once(signal, interrupted);
  const ended = endOf(agent, 'ssh-agent');
  ended.catch(() => undefined); // told while it starts
  ends.unshift(async () => {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    agent.kill();
    await ended.catch(() => undefined);
  });
  await Promise.race([appears(socket), ended]);
  const add = spawn('ssh-add', ['-q', ...keys], {
    stdio: ['inherit', 'ignore', 'inherit'],
    env: { ...process.env, SSH_AUTH_SOCK: socket },
  });
  const code = await endOf(add, 'ssh-add');
  if (code !== 0) throw new UsageError(`--ssh: ssh-add takes no key of ${keys.join(', ')}`);
  return socket;
}

function endOf(child: ChildProcess, command: string): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(new UsageError(`--ssh: run ${command} (Debian's openssh-client has it): ${error.message}`)),
    );
    child.once('close', resolve);
  });
}

async function appears(path: string): Promise<void> {
  const deadline = Date.now() + AGENT_START_MS;
  for (;;) {
    const status = await stat(path).catch(() => undefined);
    if (status?.isSocket()) return;
    if (Date.now() > deadline)
      throw new UsageError(`--ssh: ssh-agent has not begun within ${AGENT_START_MS} ms`);
    await sleep(LOOK_INTERVAL_MS);
  }
}
