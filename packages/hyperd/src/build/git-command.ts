import { spawn } from 'node:child_process';
import { HyperError } from '../errors.ts';

const TIMEOUT_MS = 600_000;
const MAX_SAID = 2000;
const MAX_TEXT_BYTES = 16 << 20;

/**
 * git in one bare repository: with a time limit, and without the host's configuration, hooks and prompts. Nothing is checked out, and no file or program of this
 * host is taken for a remote. Throws `unavailable`, `canceled`, `unsupported` where there is no git.
 */
export class Git {
  readonly directory: string;
  readonly #signal: AbortSignal;

  /** `directory`: the repository; the caller made it and removes it. */
  constructor(directory: string, signal: AbortSignal) {
    this.directory = directory;
    this.#signal = signal;
  }

  async run(...args: readonly string[]): Promise<void> {
    for await (const _chunk of this.output(...args));
  }

  /** What it prints, in whole. Throws `limit`. */
  async text(...args: readonly string[]): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of this.output(...args)) {
      bytes += chunk.length;
      if (bytes > MAX_TEXT_BYTES)
        throw new HyperError('limit', `git ${nameOf(args)}: more than ${MAX_TEXT_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  async *output(...args: readonly string[]): AsyncGenerator<Buffer> {
    const settings = ['-c', 'protocol.ext.allow=never', '-c', 'protocol.file.allow=never'];
    const child = spawn('git', [...settings, ...args], {
      cwd: this.directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(this.directory),
      ...{ signal: this.#signal, timeout: TIMEOUT_MS, killSignal: 'SIGKILL' },
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      if (said.length < MAX_SAID) said += chunk.toString('utf8');
    });
    const ended = new Promise<Error | string | undefined>((resolve) => {
      child.once('error', resolve);
      child.once('close', (code) => resolve(code === 0 ? undefined : said.trim() || `it ended with ${code}`));
    });
    try {
      yield* child.stdout as AsyncIterable<Buffer>;
      const error = await ended;
      if (error !== undefined) throw this.#failure(nameOf(args), error);
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  }

  #failure(name: string, error: Error | string): HyperError {
    if (this.#signal.aborted) return new HyperError('canceled', `git ${name}: canceled`);
    if (typeof error === 'string') return new HyperError('unavailable', `git ${name}: ${error}`);
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return new HyperError(
        'unsupported',
        'fetch a git repository: this host has no git; install Debian\'s package "git"',
      );
    return new HyperError('unavailable', `git ${name}: ${error.message}`, { cause: error });
  }
}

function nameOf(args: readonly string[]): string {
  return (
    args.find((arg, index) => /^[a-z-]+$/.test(arg) && !arg.startsWith('-') && args[index - 1] !== '-c') ?? ''
  );
}

function environment(directory: string): NodeJS.ProcessEnv {
  return {
    ...{ PATH: process.env.PATH, HOME: directory, LC_ALL: 'C', GIT_DIR: '.' },
    ...{ GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_TERMINAL_PROMPT: '0' },
    ...{ GIT_ASKPASS: 'true', GIT_SSH_COMMAND: 'ssh -o BatchMode=yes' },
    ...proxies(),
  };
}

function proxies(): NodeJS.ProcessEnv {
  const names = [
    ...['http_proxy', 'https_proxy', 'no_proxy', 'all_proxy'],
    ...['HTTPS_PROXY', 'NO_PROXY', 'ALL_PROXY'],
  ];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}
