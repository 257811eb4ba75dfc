import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Digest } from '../../ids.ts';

/**
 * What a derived file must be. It is compared in full only when the file may have changed since it was last: when its inode, size or time of change
 * differ, or the host has booted in between. (Derived files are not synced to disk; after a power failure they may be anything.)
 */
export interface Seal {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly seenAs: string;
}

const BOOT = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();

/** The seal of a file that has just been written with this content. */
export async function sealFile(path: string, digest: Digest, sizeBytes: number): Promise<Seal> {
  return { digest, sizeBytes, seenAs: (await look(path))?.seenAs ?? '' };
}

/** The seal, as of now, where the file still is what it says; undefined where it is missing or damaged. */
export async function checkSeal(path: string, seal: Seal): Promise<Seal | undefined> {
  const found = await look(path);
  if (found?.sizeBytes !== seal.sizeBytes) return undefined;
  if (found.seenAs === seal.seenAs) return seal;
  return (await digestOfFile(path)) === seal.digest ? { ...seal, seenAs: found.seenAs } : undefined;
}

async function look(path: string): Promise<{ sizeBytes: number; seenAs: string } | undefined> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return { sizeBytes: Number(size), seenAs: `${BOOT}:${ino}:${mtimeNs}:${ctimeNs}` };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function digestOfFile(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}` as Digest;
}
