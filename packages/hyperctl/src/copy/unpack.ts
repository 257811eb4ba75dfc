import { constants } from 'node:fs';
import { chmod, lchown, lutimes, open, utimes } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ExtractEvents, extract, type Header } from 'tar-stream';
import { Destination } from './destination.ts';
import { entryParts } from './entry-path.ts';

/** More entries than any copy has: their directories' modes are kept until the end. */
const MAX_ENTRIES = 5_000_000;
const PERMISSIONS = 0o777;
const ALL_MODE_BITS = 0o7777;

export interface UnpackOptions {
  /** Existing directory. */
  readonly directory: string;
  /** What the archive's top is called here, in place of its own name; undefined: that one. */
  readonly rename?: string | undefined;
  /** Keep owners, and set-user-id bits. */
  readonly archive: boolean;
  /** Told of what cannot be made here. */
  readonly warn: (message: string) => void;
}

type Source = ExtractEvents['entry'][1];

interface KeptMode {
  readonly path: string;
  readonly header: Header;
}

/** Unpacks a tar that comes from a container; see `Destination` for what it cannot do. Throws with the entry's name; what was unpacked until then stays. */
export async function unpack(tar: Readable, options: UnpackOptions): Promise<void> {
  const destination = new Destination(options.directory);
  const directories: KeptMode[] = [];
  const entries = extract();
  const fed = pipeline(tar, entries as unknown as Writable); // another make of streams, with the same behaviour
  fed.catch(() => undefined); // told by the iteration, or below
  let count = 0;
  try {
    for await (const entry of entries) {
      if (++count > MAX_ENTRIES) throw new Error(`unpack: there are more than ${MAX_ENTRIES} files`);
      const kept = await unpackEntry(entry, destination, options);
      if (kept) directories.push(kept);
      entry.resume(); // what is not wanted of it
    }
  } catch (error) {
    if (error instanceof Error && error.name === 'StreamError') await fed; // it knows what is wrong with the archive
    throw error;
  }
  await fed;
  // Behind everything else: a directory may not let its owner write to it.
  for (const { path, header } of directories.reverse()) await setAttributes(path, header, options);
}

async function unpackEntry(
  entry: Source,
  destination: Destination,
  options: UnpackOptions,
): Promise<KeptMode | undefined> {
  const { header } = entry;
  const parts = renamed(entryParts(header.name), options);
  switch (header.type) {
    case 'directory': {
      const path = await destination.directory(parts, 0o700);
      return parts.length > 0 ? { path, header } : undefined;
    }
    case 'file':
    case 'contiguous-file': {
      const path = await destination.vacant(parts);
      const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
      const file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        for await (const chunk of entry) await file.writeFile(chunk as Uint8Array);
      } finally {
        await file.close();
      }
      await setAttributes(path, header, options);
      return undefined;
    }
    case 'link':
      await destination.link(parts, renamed(entryParts(header.linkname), options));
      return undefined;
    case 'symlink': {
      const path = await destination.symlink(parts, header.linkname);
      if (options.archive) await lchown(path, header.uid, header.gid);
      if (isTime(header.mtime)) await lutimes(path, header.mtime, header.mtime);
      return undefined;
    }
    default:
      options.warn(`"${header.name}" is left out: a ${header.type} cannot be made here`);
      return undefined;
  }
}

function renamed(parts: readonly string[], { rename }: UnpackOptions): readonly string[] {
  return rename === undefined ? parts : [rename, ...parts.slice(1)];
}

/** The path is no link: it was just made. */
async function setAttributes(path: string, header: Header, { archive }: UnpackOptions): Promise<void> {
  if (archive) await lchown(path, header.uid, header.gid);
  await chmod(path, header.mode & (archive ? ALL_MODE_BITS : PERMISSIONS));
  if (isTime(header.mtime)) await utimes(path, header.mtime, header.mtime);
}

/** The archive may give any number for one. */
function isTime(time: Date | undefined): time is Date {
  return time !== undefined && !Number.isNaN(time.getTime());
}
