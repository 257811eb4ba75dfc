import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../errors.ts';

const FETCH_TIMEOUT_MS = 600_000;
const MAX_SAID = 2000;

export interface GitSource {
  readonly url: string;
  /** Branch, tag or commit; empty: the remote's HEAD. */
  readonly ref: string;
  readonly subdirectory: string;
}

/** `https://HOST/REPO.git#REF:DIR`, `git://…`, `git@HOST:REPO…`, `ssh://…`; undefined: it is no address of a git repository. */
export function parseGitSource(text: string): GitSource | undefined {
  const [address = '', fragment = ''] = text.split('#', 2);
  const isGit =
    /^(?:git|ssh):\/\//.test(address) ||
    /^[\w.-]+@[\w.-]+:/.test(address) ||
    /^https?:\/\/[^?]*\.git(?:\?|$)/.test(address);
  if (!isGit && !/^github\.com\//.test(address)) return undefined;
  const [ref = '', ...rest] = fragment.split(':');
  return { url: isGit ? address : `https://${address}`, ref, subdirectory: rest.join(':') };
}

/**
 * A commit's files as a tar. The repository is fetched without being checked out; the host's configuration, hooks and prompts have no part in it. `directory` is
 * where it may write; the caller removes it. Throws `unavailable`, `invalid-argument`, `canceled`.
 */
export async function* gitTar(
  source: GitSource,
  directory: string,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { url, ref, subdirectory } = source;
  if (/^-/.test(url) || /^-/.test(ref) || subdirectory.split('/').includes('..'))
    throw new HyperError(
      'invalid-argument',
      `fetch "${url}#${ref}:${subdirectory}": it is not an address of a repository`,
    );
  await run(directory, ['init', '--quiet', '--bare', '.'], signal);
  await mkdir(join(directory, 'info'), { recursive: true });
  await writeFile(join(directory, 'info/attributes'), '* -export-ignore -export-subst\n');
  await run(directory, ['fetch', '--quiet', '--depth=1', '--no-tags', '--', url, ref || 'HEAD'], signal);
  const tree = subdirectory === '' ? 'FETCH_HEAD' : `FETCH_HEAD:${subdirectory.replace(/^\/+|\/+$/g, '')}`;
  yield* output(directory, ['-c', 'tar.umask=0022', 'archive', '--format=tar', tree], signal);
}

async function run(directory: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  for await (const _chunk of output(directory, args, signal));
}

async function* output(
  directory: string,
  args: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const child = spawn('git', ['-c', 'protocol.ext.allow=never', '-c', 'protocol.file.allow=never', ...args], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...{
        PATH: process.env.PATH,
        HOME: directory,
        LC_ALL: 'C',
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_CONFIG_GLOBAL: '/dev/null',
      },
      ...{
        GIT_TERMINAL_PROMPT: '0',
        GIT_ASKPASS: 'true',
        GIT_DIR: '.',
        GIT_SSH_COMMAND: 'ssh -o BatchMode=yes',
      },
      ...proxies(),
    },
    signal,
    timeout: FETCH_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < MAX_SAID) said += chunk.toString('utf8');
  });
  const ended = new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code) => resolve(code === 0 ? undefined : said.trim() || `git ended with ${code}`));
  });
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    const error = await ended;
    if (error !== undefined)
      throw new HyperError(
        signal.aborted ? 'canceled' : 'unavailable',
        `git ${args.find((arg) => /^[a-z]+$/.test(arg))}: ${error}`,
      );
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

function proxies(): NodeJS.ProcessEnv {
  const names = [
    'http_proxy',
    'https_proxy',
    'no_proxy',
    'HTTPS_PROXY',
    'NO_PROXY',
    'ALL_PROXY',
    'all_proxy',
  ];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}
