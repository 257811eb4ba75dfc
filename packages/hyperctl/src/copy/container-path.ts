import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ApiError, type Client } from '@hyperd/client';
import { extract, type Header } from 'tar-stream';

const MAX_LINKS = 16;

/** A file or directory in a container. */
export interface ContainerPath {
  /** Id of the container. */
  readonly container: string;
  /** Absolute. */
  readonly path: string;
}

/** What is there, as the first entry of its tar tells; undefined: nothing is. A link is not followed. */
export async function headerAt(
  client: Client,
  { container, path }: ContainerPath,
): Promise<Header | undefined> {
  const abort = new AbortController();
  try {
    const tar = await client.copyOut(container, path, abort.signal);
    const entries = extract();
    const fed = pipeline(tar, entries as unknown as Writable);
    fed.catch(() => undefined); // told by the iteration; it is broken off here as a rule
    for await (const { header } of entries) return header;
    return undefined;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  } finally {
    abort.abort();
  }
}

/** Whether it is a directory, or a link that leads to one. */
export async function isDirectory(client: Client, { container, path }: ContainerPath): Promise<boolean> {
  return (await headerAt(client, { container, path: `${path}/.` }))?.type === 'directory';
}

/** Where the links at `path` lead in the end; what is missing leads to itself. Throws where they lead on for ever. */
export async function resolveLinks(
  client: Client,
  { container, path }: ContainerPath,
): Promise<ContainerPath> {
  let found = path;
  for (let links = 0; links < MAX_LINKS; links++) {
    const header = await headerAt(client, { container, path: found });
    if (header?.type !== 'symlink') return { container, path: found };
    const target = header.linkname;
    found = target.startsWith('/') ? target : `${found.replace(/\/*[^/]*\/*$/, '')}/${target}`;
  }
  throw new Error(`copy "${path}": too many symbolic links`);
}
