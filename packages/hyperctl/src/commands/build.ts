import { readFile, writeFile } from 'node:fs/promises';
import type { ProgressMessage } from '@hyperd/client';
import { buildSource } from '../build/build-source.ts';
import { openSshAgents } from '../build/ssh-agents.ts';
import { forwardSshAgents } from '../build/ssh-forward.ts';
import type { Command, CommandContext, Terminal } from '../command.ts';
import { allCredentials } from '../credentials/credentials.ts';
import type { Options } from '../options.ts';
import { ProgressView } from '../progress-view.ts';
import { uniqueName } from '../unique-name.ts';
import { UsageError } from '../usage-error.ts';

const UNITS: Readonly<Record<string, number>> = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

export const command: Command = {
  name: 'build',
  operands: 'PATH | URL | -',
  summary: 'Build an image of a Dockerfile',
  details:
    'The context is a directory (what its .dockerignore names is left out), a git repository or the URL of a tar, or with "-" a tar or a Dockerfile on stdin. Commands of the Dockerfile run in a machine of their own.',
  options: [
    { name: 'tag', short: 't', value: 'NAME', repeats: true, help: 'name for the image' },
    {
      name: 'file',
      short: 'f',
      value: 'FILE',
      help: 'the Dockerfile (default: PATH/Dockerfile), "-" for stdin',
    },
    {
      name: 'build-arg',
      value: 'NAME[=VALUE]',
      repeats: true,
      help: 'value for an ARG; without one that of the environment',
    },
    { name: 'target', value: 'STAGE', help: 'the stage to build (default: the last one)' },
    { name: 'label', value: 'KEY=VALUE', repeats: true, help: 'label for the image' },
    { name: 'no-cache', help: 'run every step, whatever earlier builds have made' },
    {
      name: 'cache-from',
      value: 'IMAGE',
      repeats: true,
      help: 'take steps from this image, which was built with --build-arg BUILDKIT_INLINE_CACHE=1',
    },
    { name: 'pull', help: 'pull base images also where they are there' },
    { name: 'platform', value: 'OS/ARCHITECTURE', help: 'of base images' },
    {
      name: 'secret',
      value: 'id=ID,src=FILE',
      repeats: true,
      help: 'for RUN --mount=type=secret; or id=ID,env=NAME',
    },
    {
      name: 'ssh',
      value: 'NAME[=SOCKET|KEY[,KEY...]]',
      repeats: true,
      help: 'ssh agent for RUN --mount=type=ssh: your own, that of a socket, or keys; the default name is "default"',
    },
    { name: 'memory', short: 'm', value: 'SIZE', help: "a machine's memory, such as 1g (default: 512m)" },
    { name: 'cpus', value: 'COUNT', help: "a machine's CPUs (default: 1)" },
    { name: 'timeout', value: 'SECONDS', help: 'how long a step may take (default: 3600)' },
    { name: 'keep', help: 'what a failed step has left becomes an image, to look into' },
    { name: 'quiet', short: 'q', help: "print only the image's id" },
    {
      name: 'progress',
      value: 'auto|plain|quiet',
      help: 'quiet is as -q; the others print steps and their output',
    },
    { name: 'iidfile', value: 'FILE', help: "write the image's id to a file" },
  ],
  operandCount: [1, 1],
  async run(context) {
    const { client, options, operands, terminal } = context;
    const quiet = options.flag('quiet') || options.text('progress') === 'quiet';
    const source = await buildSource(operands[0] ?? '', options.text('file'), terminal.stdin);
    const view = new BuildView(terminal, quiet);
    await using agents = await openSshAgents(options.all('ssh'));
    const id = agents.sockets.size > 0 ? uniqueName() : undefined;
    using _forwarding = id === undefined ? undefined : await forwardSshAgents(client, id, agents.sockets);
    const messages = client.images.build({
      ...source,
      ...{ id, agents: [...agents.sockets.keys()] },
      ...{ names: options.all('tag'), target: options.text('target'), platform: options.text('platform') },
      ...{ args: buildArgs(options), labels: labelsOf(options), secrets: await secretsOf(options) },
      ...{
        noCache: options.flag('no-cache'),
        cacheFrom: options.all('cache-from'),
        pull: options.flag('pull'),
        quiet,
        keepFailed: options.flag('keep'),
      },
      ...{ memoryBytes: memoryOf(options), cpus: options.integer('cpus', 1) },
      ...{ stepTimeoutSeconds: options.integer('timeout', 1), auths: await registryCredentials(context) },
    });
    for await (const message of messages) view.show(message);
    await view.end(options.text('iidfile'));
    return 0;
  },
};

/** What a build says: steps and their output as they are, transfers as everywhere. */
class BuildView {
  readonly #terminal: Terminal;
  readonly #isQuiet: boolean;
  readonly #transfers: ProgressView;
  #id: string | undefined;

  constructor(terminal: Terminal, isQuiet: boolean) {
    this.#terminal = terminal;
    this.#isQuiet = isQuiet;
    this.#transfers = new ProgressView(terminal.stdout);
  }

  show(message: ProgressMessage): void {
    const { ID: id } = (message.aux ?? {}) as { readonly ID?: string };
    if (id !== undefined) this.#id = id;
    else if (message.stream !== undefined) this.#terminal.stdout.write(message.stream);
    else if (!this.#isQuiet) this.#transfers.show(message);
  }

  /** Keeps the id where it is wanted. Throws where the daemon has told none. */
  async end(path: string | undefined): Promise<void> {
    if (this.#id === undefined) throw new Error('build: the daemon has ended without an image');
    if (path !== undefined) await writeFile(path, this.#id);
  }
}

/** `NAME` alone takes the value of hyperctl's environment; without one there it is not given. */
function buildArgs(options: Options): Record<string, string> | undefined {
  const args = options.all('build-arg').flatMap((text): [string, string][] => {
    const equals = text.indexOf('=');
    if (equals === 0) throw new UsageError(`--build-arg is "${text}", want NAME=VALUE`);
    if (equals > 0) return [[text.slice(0, equals), text.slice(equals + 1)]];
    const value = process.env[text];
    return value === undefined ? [] : [[text, value]];
  });
  const epoch = process.env.SOURCE_DATE_EPOCH;
  if (epoch !== undefined && !args.some(([name]) => name === 'SOURCE_DATE_EPOCH'))
    args.push(['SOURCE_DATE_EPOCH', epoch]);
  return args.length > 0 ? Object.fromEntries(args) : undefined;
}

function labelsOf(options: Options): Record<string, string> | undefined {
  const labels = options.all('label').map((text): [string, string] => {
    const equals = text.indexOf('=');
    return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
  });
  return labels.length > 0 ? Object.fromEntries(labels) : undefined;
}

async function secretsOf(options: Options): Promise<Record<string, Uint8Array> | undefined> {
  const secrets: Record<string, Uint8Array> = {};
  for (const text of options.all('secret')) {
    const fields = new Map(text.split(',').map((field) => field.split(/=(.*)/s, 2) as [string, string]));
    const id = fields.get('id');
    if (!id) throw new UsageError(`--secret is "${text}", want id=ID,src=FILE or id=ID,env=NAME`);
    const variable = fields.get('env');
    const path = fields.get('src') ?? fields.get('source') ?? (variable === undefined ? id : undefined);
    const value = path === undefined ? process.env[variable ?? ''] : await readFile(path);
    if (value === undefined) throw new UsageError(`--secret ${id}: the environment has no ${variable}`);
    secrets[id] = Buffer.from(value);
  }
  return Object.keys(secrets).length > 0 ? secrets : undefined;
}

function memoryOf(options: Options): number | undefined {
  const text = options.text('memory');
  if (text === undefined) return undefined;
  const [, count = '', unit = 'b'] = /^(\d{1,12})([bkmg])?b?$/i.exec(text) ?? [];
  if (count === '') throw new UsageError(`--memory is "${text}", want a size such as 512m or 1g`);
  return Number(count) * (UNITS[unit.toLowerCase()] ?? 1);
}

/** Base images may come from any registry. What cannot be read is told, and not sent: public images need none. */
async function registryCredentials({ terminal }: CommandContext): ReturnType<typeof allCredentials> {
  try {
    return await allCredentials();
  } catch (error) {
    terminal.stderr.write(`WARNING: ${(error as Error).message}\n`);
    return {};
  }
}
