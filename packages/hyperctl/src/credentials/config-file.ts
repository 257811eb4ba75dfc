import { mkdir, open, readFile, realpath, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { uniqueName } from '../unique-name.ts';

/** What a registry's entry may hold. `auth` is base64 of `USER:PASSWORD`. */
export interface StoredAuth {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

/** Docker's config.json: what is about registries. Further keys are kept as they are. */
export interface DockerConfig {
  readonly auths?: Readonly<Record<string, StoredAuth>>;
  /** Helper for all servers. */
  readonly credsStore?: string;
  /** Server to the helper that has its credentials. */
  readonly credHelpers?: Readonly<Record<string, string>>;
}

/** Where Docker keeps it: in `$DOCKER_CONFIG`, else in `~/.docker`. */
export function configPath(): string {
  return join(process.env.DOCKER_CONFIG || join(homedir(), '.docker'), 'config.json');
}

/** Empty where there is no file. Throws an Error that names the file. */
export async function readConfig(): Promise<DockerConfig> {
  const path = configPath();
  try {
    const text = await readFile(path, 'utf8');
    return checked(text.trim() === '' ? {} : parsed(text));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new Error(`read credentials from "${path}": ${(error as Error).message}`, { cause: error });
  }
}

/** The parser's own message would show a part of the text, and with it a secret. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it is no JSON');
  }
}

/** Puts `config` in the file's place, whole or not at all, for its owner's eyes only. A link to the file stays one. */
export async function writeConfig(config: DockerConfig): Promise<void> {
  const path = await followed(configPath());
  const draft = `${path}.${uniqueName()}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    {
      await using file = await open(draft, 'wx', 0o600);
      await file.writeFile(`${JSON.stringify(config, undefined, '\t')}\n`);
      await file.sync();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw new Error(`write credentials to "${path}": ${(error as Error).message}`, { cause: error });
  }
}

async function followed(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return path;
    throw error;
  }
}

/** Throws where what we read of it has another form; others' keys may be anything. */
function checked(json: unknown): DockerConfig {
  if (!isObject(json)) throw new Error('want a JSON object');
  const { auths, credsStore, credHelpers } = json;
  if (auths != null && !(isObject(auths) && Object.values(auths).every(isAuth))) {
    throw new Error('its "auths" is no object of objects of texts');
  }
  if (credsStore != null && typeof credsStore !== 'string') throw new Error('its "credsStore" is no text');
  if (credHelpers != null && !(isObject(credHelpers) && Object.values(credHelpers).every(isText))) {
    throw new Error('its "credHelpers" is no object of texts');
  }
  return json as DockerConfig;
}

function isAuth(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { auth, username, password, identitytoken, registrytoken } = value;
  return [auth, username, password, identitytoken, registrytoken].every(
    (text) => text == null || isText(text),
  );
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
