import type { RegistryAuth } from '@hyperd/client';
import { configPath, type DockerConfig, readConfig, type StoredAuth, writeConfig } from './config-file.ts';
import { CredentialHelper } from './helper.ts';
import { serverOf, serverOfImage } from './servers.ts';

/** The user name under which a helper has an identity token. */
const TOKEN_USER = '<token>';

/** What is kept for the registry of `image`; undefined where nothing is. Throws an Error for a file or helper that fails. */
export function credentialsOfImage(image: string): Promise<RegistryAuth | undefined> {
  return credentialsOf(serverOfImage(image));
}

/** As `credentialsOfImage`; what fails is told on stderr, and there are none then: a public image needs none. */
export async function usableCredentials(
  image: string,
  stderr: NodeJS.WritableStream,
): Promise<RegistryAuth | undefined> {
  try {
    return await credentialsOfImage(image);
  } catch (error) {
    stderr.write(`WARNING: ${(error as Error).message}; going on without credentials\n`);
    return undefined;
  }
}

/** As `credentialsOfImage`, by server. */
export async function credentialsOf(server: string): Promise<RegistryAuth | undefined> {
  const config = await readConfig();
  const key = keysOf(config, server)[0] ?? server;
  const helper = helperOf(config, server);
  const found = helper && (await helper.get(key));
  if (found) return { ...ofHelper(found), serveraddress: server };
  return ofFile(config.auths?.[key], server);
}

/** Everything that is kept, by server: what a build may need. */
export async function allCredentials(): Promise<Record<string, RegistryAuth>> {
  const config = await readConfig();
  const inStore = config.credsStore ? await new CredentialHelper(config.credsStore).servers() : [];
  const servers = [...Object.keys(config.auths ?? {}), ...Object.keys(config.credHelpers ?? {}), ...inStore];
  const all: Record<string, RegistryAuth> = {};
  for (const server of new Set(servers.map(serverOf))) {
    const auth = await credentialsOf(server);
    if (auth) all[server] = auth;
  }
  return all;
}

/** Keeps a login where the configuration says. Resolves with the path of the file where it lies there in the clear. */
export async function keepCredentials(
  server: string,
  { username, password }: { readonly username: string; readonly password: string },
): Promise<string | undefined> {
  const config = await readConfig();
  const helper = helperOf(config, server);
  await helper?.store(server, { Username: username, Secret: password });
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  // With a helper the entry tells Docker only that there is a login.
  const auths = { ...without(config, server).auths, [server]: helper ? {} : { auth } };
  await writeConfig({ ...config, auths });
  return helper ? undefined : configPath();
}

/** Forgets a login. Resolves with whether there was one. */
export async function forgetCredentials(server: string): Promise<boolean> {
  const config = await readConfig();
  const keys = keysOf(config, server);
  const helper = helperOf(config, server);
  let found = keys.length > 0;
  for (const key of helper ? new Set([server, ...keys]) : []) {
    if (!(await helper?.get(key))) continue;
    await helper?.erase(key);
    found = true;
  }
  if (keys.length > 0) await writeConfig(without(config, server));
  return found;
}

/** The keys that stand for the server: logins of older versions lie under URLs. The one that is the server comes first. */
function keysOf({ auths = {} }: DockerConfig, server: string): string[] {
  return Object.keys(auths ?? {})
    .filter((key) => serverOf(key) === server)
    .sort((a, b) => Number(b === server) - Number(a === server));
}

function without(config: DockerConfig, server: string): DockerConfig {
  const keys = keysOf(config, server);
  const auths = Object.entries(config.auths ?? {}).filter(([key]) => !keys.includes(key));
  return { ...config, auths: Object.fromEntries(auths) };
}

function helperOf({ credHelpers, credsStore }: DockerConfig, server: string): CredentialHelper | undefined {
  const own = Object.entries(credHelpers ?? {}).find(([key]) => serverOf(key) === server)?.[1];
  const name = own || credsStore;
  return name ? new CredentialHelper(name) : undefined;
}

function ofHelper({
  Username,
  Secret,
}: {
  readonly Username: string;
  readonly Secret: string;
}): RegistryAuth {
  return Username === TOKEN_USER ? { identitytoken: Secret } : { username: Username, password: Secret };
}

function ofFile(stored: StoredAuth | undefined, server: string): RegistryAuth | undefined {
  if (!stored) return undefined;
  const [, user, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(stored.auth ?? '', 'base64').toString()) ?? [];
  const login = {
    username: user ?? stored.username,
    password: secret?.replace(/\0+$/, '') ?? stored.password, // Docker once padded it
    ...{ identitytoken: stored.identitytoken, registrytoken: stored.registrytoken },
  };
  const known = Object.entries(login).filter(([, value]) => value);
  return known.length > 0 ? { ...Object.fromEntries(known), serveraddress: server } : undefined;
}
