import { ApiError, type Client, type RegistryAuth } from '@hyperd/client';
import { ask, askSecret } from './ask.ts';
import type { Terminal } from './command.ts';
import { credentialsOf, keepCredentials } from './credentials/credentials.ts';
import { DEFAULT_SERVER } from './credentials/servers.ts';
import { UsageError } from './usage-error.ts';

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** Logs in with `login`, has the registry prove it, and keeps it. Throws ApiError of status 401 where the registry does not take it. */
export async function logIn(client: Client, server: string, login: Login, terminal: Terminal): Promise<void> {
  const status = await client.login({ ...login, serveraddress: server });
  const path = await keepCredentials(server, login);
  if (path !== undefined) terminal.stdout.write(`WARNING: login credentials saved in ${path}\n`);
  terminal.stdout.write(`${status}\n`);
}

/** Tries what is kept for the server. Resolves with whether the registry took it. */
export async function logInWithKept(client: Client, server: string, terminal: Terminal): Promise<boolean> {
  const kept = await credentialsOf(server);
  if (!kept) return false;
  terminal.stderr.write('Authenticating with existing credentials...\n');
  try {
    terminal.stdout.write(`${await client.login(kept)}\n`);
    return true;
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) throw error;
    terminal.stderr.write(`${error.message}\n`);
    return false;
  }
}

/** Asks for what is missing of a login. Throws UsageError where there is nobody to ask. */
export async function askForLogin(
  server: string,
  { username, password }: Partial<Login>,
  terminal: Terminal,
): Promise<Login> {
  if ((username === undefined || password === undefined) && !terminal.stdin.isTTY) {
    throw new UsageError(
      'login asks for what is missing on a terminal, and there is none; give -u and --password-stdin',
    );
  }
  const user = username ?? (await askForUser(server, terminal));
  if (user === '') throw new UsageError('login needs a user name');
  const secret = password ?? (await askSecret('Password: ', terminal));
  if (secret === '') throw new UsageError('login needs a password');
  return { username: user, password: secret };
}

async function askForUser(server: string, terminal: Terminal): Promise<string> {
  const known = await usernameOf(server);
  const where = server === DEFAULT_SERVER ? '' : ` for ${server}`;
  return (await ask(`Username${where}${known ? ` (${known})` : ''}: `, terminal)) || (known ?? '');
}

async function usernameOf(server: string): Promise<string | undefined> {
  const kept: RegistryAuth | undefined = await credentialsOf(server);
  return kept?.username;
}
