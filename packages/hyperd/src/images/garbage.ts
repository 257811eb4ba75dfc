import { isOutOfRoom } from '../host-failure.ts';
import type { Digest } from '../ids.ts';
import type { Logger } from '../logger.ts';
import { readStoredImage } from './image-files.ts';
import type { LayerStore } from './layers/layer-store.ts';
import type { RootfsImages } from './rootfs-images.ts';
import type { BlobSources } from './store/blob-sources.ts';
import type { ContentStore } from './store/content-store.ts';
import type { Holds } from './store/holds.ts';
import type { ImageRecords } from './store/image-records.ts';

export interface Collected {
  readonly records: ImageRecords;
  readonly store: ContentStore;
  readonly layers: LayerStore;
  readonly rootfs: RootfsImages;
  readonly sources: BlobSources;
  readonly holds: Holds;
  readonly logger: Logger;
  /** Layers that others than images need. */
  readonly otherLayers: () => Iterable<{ readonly diffId: Digest; readonly digest: Digest }>;
}

/**
 * Removes blobs, layers and rootfs images that no image needs and nobody holds. What a full disk does not let go is tried again after the rest, which makes
 * room.
 */
export async function collectGarbage(parts: Collected): Promise<void> {
  await parts.holds.collect(async () => {
    const needed = await neededBy(parts);
    if (!needed) return;
    const { store, layers, rootfs, sources, holds } = parts;
    const removals: Removal[] = [];
    for (const chainId of rootfs.list())
      if (!needed.chains.has(chainId))
        removals.push(() => holds.remove(chainId, () => rootfs.remove(chainId)));
    for (const { diffId } of layers.list())
      if (!needed.layers.has(diffId)) removals.push(() => holds.remove(diffId, () => layers.remove(diffId)));
    for (const digest of await store.list())
      if (!needed.blobs.has(digest)) removals.push(() => holds.remove(digest, () => store.remove(digest)));
    removals.push(async () => sources.keepOnly(needed.blobs));
    for (const removal of await withoutRoom(removals)) await removal();
  });
}

type Removal = () => Promise<void>;

/** Does them in order; resolves with those for which there was no room. */
async function withoutRoom(removals: readonly Removal[]): Promise<readonly Removal[]> {
  const left: Removal[] = [];
  for (const removal of removals) {
    try {
      await removal();
    } catch (error) {
      if (!isOutOfRoom(error)) throw error;
      left.push(removal);
    }
  }
  return left;
}

interface Needed {
  readonly blobs: ReadonlySet<Digest>;
  readonly layers: ReadonlySet<Digest>;
  readonly chains: ReadonlySet<Digest>;
}

/** undefined where it cannot be known. */
async function neededBy({ records, store, logger, otherLayers }: Collected): Promise<Needed | undefined> {
  const needed = { blobs: new Set<Digest>(), layers: new Set<Digest>(), chains: new Set<Digest>() };
  for (const { diffId, digest } of otherLayers()) {
    needed.layers.add(diffId);
    needed.blobs.add(digest);
  }
  for (const { id, manifestDigest } of records.all()) {
    needed.blobs.add(id).add(manifestDigest);
    try {
      const { manifest, config, chainId } = await readStoredImage(store, manifestDigest);
      for (const { digest } of manifest.layers) needed.blobs.add(digest);
      for (const diffId of config.rootfs.diff_ids) needed.layers.add(diffId);
      needed.chains.add(chainId);
    } catch (error) {
      // What a damaged image needs cannot be known: nothing is removed before it is pulled again or removed.
      logger.error({ image: id, err: error }, 'read image; garbage is kept');
      return undefined;
    }
  }
  return needed;
}
