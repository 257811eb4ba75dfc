import { constants, type Stats } from 'node:fs';
import { lstat, open, opendir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Header, pack as newPack, type Pack } from 'tar-stream';

type Entry = Partial<Header> & Pick<Header, 'name'>;

export interface PackOptions {
  /** Keep owners; otherwise everything is root's in the container. */
  readonly archive: boolean;
  /** Pack what a symbolic link at the top leads to. */
  readonly followLink: boolean;
  /** Told of what is left out. */
  readonly warn: (message: string) => void;
}

/** Packs a file or directory of this host as a tar, its top called `name`; empty: the contents of a directory. The stream fails with what goes wrong. */
export function pack(path: string, name: string, options: PackOptions): Readable {
  const tar = newPack();
  const work = async (): Promise<void> => {
    const status = options.followLink ? await stat(path) : await lstat(path);
    await packEntry(tar, path, name, status, options);
    tar.finalize();
  };
  work().catch((error: Error) => tar.destroy(error));
  return Readable.from(tar, { objectMode: false });
}

async function packEntry(
  tar: Pack,
  path: string,
  name: string,
  status: Stats,
  options: PackOptions,
): Promise<void> {
  const header = {
    ...{ name, mode: status.mode & 0o7777, mtime: status.mtime },
    ...(options.archive ? { uid: status.uid, gid: status.gid } : { uid: 0, gid: 0 }),
  };
  if (status.isDirectory()) {
    if (name !== '') await put(tar, { ...header, name: `${name}/`, type: 'directory' });
    for await (const { name: child } of await opendir(path)) {
      const below = join(path, child);
      await packEntry(tar, below, name === '' ? child : `${name}/${child}`, await lstat(below), options);
    }
  } else if (status.isSymbolicLink()) {
    await put(tar, { ...header, type: 'symlink', linkname: await readlink(path) });
  } else if (status.isFile()) {
    await packFile(tar, path, header, options);
  } else if (status.isFIFO()) {
    await put(tar, { ...header, type: 'fifo' });
  } else {
    options.warn(`"${path}" is left out: a socket or device is not copied`);
  }
}

/** What the file has grown to while it is read is left out. */
async function packFile(tar: Pack, path: string, header: Entry, { followLink }: PackOptions): Promise<void> {
  const file = await open(path, constants.O_RDONLY | (followLink ? 0 : constants.O_NOFOLLOW));
  const { size } = await file.stat();
  if (size === 0) {
    await file.close();
    await put(tar, { ...header, type: 'file', size });
    return;
  }
  const entry = tar.entry({ ...header, type: 'file', size });
  await pipeline(file.createReadStream({ end: size - 1 }), entry as unknown as Writable);
}

function put(tar: Pack, header: Entry): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry(header, '', (error) => (error ? reject(error) : resolve()));
  });
}
