import { isHyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { Collected } from './garbage.ts';
import { readStoredImage } from './image-files.ts';
import { diskBytes } from './store/disk-bytes.ts';

/** The files that an image needs: blobs, unpacked layers, its root file system. None where it is too damaged to tell. */
export async function filesOfImage(
  manifestDigest: Digest,
  { store, layers, rootfs }: Pick<Collected, 'store' | 'layers' | 'rootfs'>,
): Promise<ReadonlySet<string>> {
  try {
    const { id, manifest, config, chainId } = await readStoredImage(store, manifestDigest);
    const blobs = [id, manifestDigest, ...manifest.layers.map(({ digest }) => digest)];
    return new Set([
      ...blobs.map((digest) => store.path(digest)),
      ...config.rootfs.diff_ids.flatMap((diffId) => layers.files(diffId)),
      ...rootfs.files(chainId),
    ]);
  } catch (error) {
    if (isHyperError(error)) return new Set();
    throw error;
  }
}

/** For the files of each image the bytes of disk that only it needs, and that others need as well. */
export async function sharing(
  images: readonly ReadonlySet<string>[],
): Promise<{ readonly sharedBytes: number; readonly uniqueBytes: number }[]> {
  const owners = new Map<string, number>();
  for (const files of images) for (const path of files) owners.set(path, (owners.get(path) ?? 0) + 1);
  return Promise.all(
    images.map(async (files) => {
      const own = [...files].filter((path) => owners.get(path) === 1);
      const uniqueBytes = await diskBytes(own);
      return { uniqueBytes, sharedBytes: (await diskBytes([...files])) - uniqueBytes };
    }),
  );
}
