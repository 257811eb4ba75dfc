import type { Digest } from '../ids.ts';
import type { Collected } from './garbage.ts';
import { readStoredImage } from './image-files.ts';

/** What an image needs of the disk: blobs and unpacked layers, by digest. */
export async function footprint(
  manifestDigest: Digest,
  { store, layers }: Pick<Collected, 'store' | 'layers'>,
): Promise<ReadonlyMap<Digest, number>> {
  const { id, manifest, config } = await readStoredImage(store, manifestDigest);
  const bytes = new Map<Digest, number>();
  for (const digest of [id, manifestDigest, ...manifest.layers.map((layer) => layer.digest)])
    bytes.set(digest, (await store.sizeBytes(digest)) ?? 0);
  // A plain layer's blob has the digest of its content: both are on the disk.
  for (const diffId of config.rootfs.diff_ids)
    bytes.set(diffId, (layers.info(diffId)?.dataBytes ?? 0) + (bytes.get(diffId) ?? 0));
  return bytes;
}

/** For each footprint what only it has, and what others have as well, in bytes. */
export function sharing(
  footprints: readonly ReadonlyMap<Digest, number>[],
): { readonly sharedBytes: number; readonly uniqueBytes: number }[] {
  const owners = new Map<Digest, number>();
  for (const bytes of footprints)
    for (const digest of bytes.keys()) owners.set(digest, (owners.get(digest) ?? 0) + 1);
  return footprints.map((bytes) => {
    let [sharedBytes, uniqueBytes] = [0, 0];
    for (const [digest, size] of bytes)
      if (owners.get(digest) === 1) uniqueBytes += size;
      else sharedBytes += size;
    return { sharedBytes, uniqueBytes };
  });
}
