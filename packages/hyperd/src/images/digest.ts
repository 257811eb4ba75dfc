import { createHash } from 'node:crypto';
import type { Digest } from '../ids.ts';

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
}

/** The digits of a digest, as file names have them. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** Twelve digits, as Docker names layers and images to people. */
export function shortId(digest: Digest): string {
  return hexOf(digest).slice(0, 12);
}

/** Identifies a stack of layers (OCI image-spec, config.md, "Layer ChainID"). */
export function chainIdOf(diffIds: readonly Digest[]): Digest {
  const [first, ...rest] = diffIds;
  return rest.reduce(
    (chain, diffId) => digestOf(Buffer.from(`${chain} ${diffId}`)),
    first ?? digestOf(Buffer.alloc(0)),
  );
}
