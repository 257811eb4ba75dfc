import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { RegistryAuth } from '@hyperd/client';

const DEFAULT_SERVER = 'https://index.docker.io/v1/';

interface DockerConfig {
  readonly auths?: Readonly<
    Record<
      string,
      { readonly auth?: string; readonly identitytoken?: string; readonly registrytoken?: string }
    >
  >;
}

/** What `docker login` stored for the registry of `image`; undefined when nothing. */
export async function credentialsFor(image: string): Promise<RegistryAuth | undefined> {
  const directory = process.env.DOCKER_CONFIG ?? join(homedir(), '.docker');
  let config: DockerConfig;
  try {
    config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as DockerConfig;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`read credentials from "${directory}/config.json": ${(error as Error).message}`);
  }
  const server = registryOf(image);
  const found = config.auths?.[server] ?? config.auths?.[`https://${server}`];
  if (!found) return undefined;
  const [, username, password] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(found.auth ?? '', 'base64').toString()) ?? [];
  return {
    ...(username === undefined || password === undefined ? {} : { username, password }),
    ...(found.identitytoken ? { identitytoken: found.identitytoken } : {}),
    ...(found.registrytoken ? { registrytoken: found.registrytoken } : {}),
    serveraddress: server,
  };
}

/** The registry of a reference: its first part where that looks like a host (Docker's rule), else Docker's index. */
export function registryOf(image: string): string {
  const [first = '', rest] = image.split('/', 2);
  const isHost = rest !== undefined && (/[.:]/.test(first) || first === 'localhost');
  return isHost && first !== 'docker.io' && first !== 'index.docker.io' ? first : DEFAULT_SERVER;
}
