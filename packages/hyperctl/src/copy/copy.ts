import { lstat, mkdir, stat } from 'node:fs/promises';
import { posix, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@hyperd/client';
import type { Terminal } from '../command.ts';
import { write } from '../write.ts';
import { type ContainerPath, headerAt, isDirectory, resolveLinks } from './container-path.ts';
import { pack } from './pack.ts';
import { TransferView } from './transfer-view.ts';
import { unpack } from './unpack.ts';

export interface Copying {
  readonly client: Client;
  readonly terminal: Terminal;
  /** Keep owners. */
  readonly archive: boolean;
  readonly followLink: boolean;
  readonly warn: (message: string) => void;
}

/** Copies a path of this host, or a tar on stdin (`-`), into a container, by the rules of `docker cp`. */
export async function copyIn(copying: Copying, source: string, target: ContainerPath): Promise<void> {
  const { client, terminal } = copying;
  if (source === '-') {
    await requireDirectory(client, target, target.path);
    return send(copying, target, terminal.stdin);
  }
  const status = copying.followLink ? await stat(source) : await lstat(source);
  const isContents = /(?:^|\/)\.\/*$/.test(source);
  if (await isDirectory(client, target)) {
    const name = isContents && status.isDirectory() ? '' : posix.basename(resolve(source));
    return send(copying, target, pack(source, name, copying));
  }
  const { path } = await resolveLinks(client, target);
  if (status.isDirectory() && (await headerAt(client, { ...target, path })))
    throw new Error(`copy directory "${source}" to "${target.path}": that is a file`);
  if (!status.isDirectory() && path.endsWith('/'))
    throw new Error(`copy "${source}" to "${target.path}": there is no such directory`);
  const parent = { ...target, path: posix.dirname(path) };
  await requireDirectory(client, parent, target.path);
  return send(copying, parent, pack(source, posix.basename(path), copying));
}

/** Copies a path of a container to this host, or as a tar to stdout (`-`), by the rules of `docker cp`. */
export async function copyOut(copying: Copying, source: ContainerPath, target: string): Promise<void> {
  const { client, terminal } = copying;
  const from = copying.followLink ? await resolveLinks(client, source) : source;
  const tar = await client.copyOut(from.container, from.path);
  try {
    if (target === '-') {
      if (terminal.stdout.isTTY) throw new Error('copy to stdout: a tar is not for a terminal; redirect it');
      for await (const chunk of tar) await write(terminal.stdout, chunk as Buffer);
      return;
    }
    const view = new TransferView(terminal.stderr);
    const place = await placeFor(client, from, target);
    const fed = pipeline(tar, view);
    fed.catch(() => undefined); // told by who reads it
    await unpack(view, { ...place, archive: copying.archive, warn: copying.warn });
    view.finish();
  } finally {
    tar.destroy();
  }
}

/** Where the archive of `from` goes for `target`, and what its top is called there. */
async function placeFor(
  client: Client,
  from: ContainerPath,
  target: string,
): Promise<{ readonly directory: string; readonly rename?: string }> {
  const existing = await statOf(target);
  if (existing?.isDirectory()) return { directory: target };
  const isDirectoryCopied = (await headerAt(client, from))?.type === 'directory';
  if (isDirectoryCopied && existing)
    throw new Error(`copy directory "${from.path}" to "${target}": that is a file`);
  if (!isDirectoryCopied && target.endsWith('/'))
    throw new Error(`copy "${from.path}" to "${target}": there is no such directory`);
  if (from.path.endsWith('/.')) {
    await mkdir(target);
    return { directory: target };
  }
  const path = resolve(target);
  const directory = posix.dirname(path);
  if (!(await statOf(directory))?.isDirectory())
    throw new Error(`copy "${from.path}" to "${target}": there is no directory "${directory}"`);
  return { directory, rename: posix.basename(path) };
}

async function statOf(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function requireDirectory(client: Client, directory: ContainerPath, wanted: string): Promise<void> {
  if (await isDirectory(client, directory)) return;
  throw new Error(`copy to "${wanted}": there is no directory "${directory.path}" in the container`);
}

async function send(
  { client, terminal }: Copying,
  { container, path }: ContainerPath,
  tar: Readable,
): Promise<void> {
  const view = new TransferView(terminal.stderr);
  let failure: unknown;
  pipeline(tar, view).catch((error: unknown) => {
    failure = error;
  });
  try {
    await client.copyIn(container, path, view);
    view.finish();
  } catch (error) {
    throw failure ?? error; // what could not be packed is the reason, not the request that broke off for it
  } finally {
    tar.destroy();
  }
}
