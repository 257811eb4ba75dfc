import { ApiError } from '@hyperd/client';
import type { Command, CommandContext } from '../command.ts';
import { usableCredentials } from '../credentials/credentials.ts';
import { DEFAULT_SERVER, serverOfImage } from '../credentials/servers.ts';
import { askForLogin, logIn } from '../login.ts';
import { showProgress } from '../progress-view.ts';
import { hasTagOrDigest, withDefaultTag } from '../pull.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'push',
  operands: 'NAME[:TAG]',
  summary: 'Send an image to the registry that its name gives',
  details:
    'Credentials are those that "hyperctl login" or "docker login" has stored. Where the registry wants others, a login is asked for on a terminal.',
  options: [
    { name: 'all-tags', short: 'a', help: 'send all tags of the repository NAME' },
    { name: 'quiet', short: 'q', help: 'print only the name, when all is there' },
  ],
  operandCount: [1, 1],
  async run(context) {
    const { options, operands, terminal } = context;
    const [name = ''] = operands;
    refuseOfficial(name);
    const all = options.flag('all-tags');
    if (all && hasTagOrDigest(name)) {
      throw new UsageError(`push -a takes a repository; "${name}" has a tag or digest`);
    }
    const image = all ? name : withDefaultTag(name);
    const isQuiet = options.flag('quiet');
    if (image !== name && !isQuiet) terminal.stdout.write('Using default tag: latest\n');
    try {
      await push(context, image, isQuiet);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401 && terminal.stdin.isTTY)) throw error;
      await logInFirst(context, image, error);
      await push(context, image, isQuiet);
    }
    if (isQuiet) terminal.stdout.write(`${image}\n`);
    return 0;
  },
};

/** Nobody may push there, and the registry would only say so when all has been sent. */
function refuseOfficial(name: string): void {
  if (serverOfImage(name) !== DEFAULT_SERVER || name.replace(/^(?:index\.)?docker\.io\//, '').includes('/'))
    return;
  throw new UsageError(
    `You cannot push a "root" repository. Please rename your repository to <user>/<repo> (ex: <user>/${name})`,
  );
}

async function push({ client, terminal }: CommandContext, image: string, isQuiet: boolean): Promise<void> {
  const auth = await usableCredentials(image, terminal.stderr);
  await showProgress(client.images.push(image, { auth }), isQuiet ? undefined : terminal.stdout);
}

async function logInFirst(
  { client, terminal }: CommandContext,
  image: string,
  error: ApiError,
): Promise<void> {
  const server = serverOfImage(image);
  terminal.stderr.write(`${error.message}\nPlease log in before the push:\n`);
  await logIn(client, server, await askForLogin(server, {}, terminal), terminal);
}
