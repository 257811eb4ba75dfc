import { text } from 'node:stream/consumers';
import type { Command, CommandContext } from '../command.ts';
import { serverOf } from '../credentials/servers.ts';
import { askForLogin, logIn, logInWithKept } from '../login.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'login',
  operands: '[SERVER]',
  summary: "Log in to a registry (default: Docker's) and keep the credentials for pull, push and build",
  details:
    'Credentials are kept where Docker keeps them: in config.json in $DOCKER_CONFIG or ~/.docker, or with the credential helper that it names for the server (credHelpers) or for all (credsStore). What is missing is asked for on a terminal. Without -u and -p, credentials that are kept already are tried first.',
  options: [
    { name: 'username', short: 'u', value: 'NAME', help: 'user name' },
    {
      name: 'password',
      short: 'p',
      value: 'TEXT',
      help: 'password or token; others can see it on the command line',
    },
    { name: 'password-stdin', help: 'take the password from stdin' },
    { name: 'email', short: 'e', value: 'TEXT', help: 'accepted; registries no longer ask for it' },
  ],
  operandCount: [0, 1],
  async run(context) {
    const { client, options, operands, terminal } = context;
    const server = serverOf(operands[0] ?? '');
    const username = options.text('username');
    const password = await passwordOf(context);
    if (username === undefined && password === undefined && (await logInWithKept(client, server, terminal))) {
      return 0;
    }
    const given = {
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
    };
    await logIn(client, server, await askForLogin(server, given, terminal), terminal);
    return 0;
  },
};

async function passwordOf({ options, terminal }: CommandContext): Promise<string | undefined> {
  const password = options.text('password');
  if (!options.flag('password-stdin')) {
    if (password !== undefined) {
      terminal.stderr.write('WARNING: others can see a password on the command line; use --password-stdin\n');
    }
    return password;
  }
  if (password !== undefined) throw new UsageError('login takes -p or --password-stdin, not both');
  if (options.text('username') === undefined) throw new UsageError('login --password-stdin needs -u NAME');
  return (await text(terminal.stdin)).replace(/\r?\n$/, '');
}
