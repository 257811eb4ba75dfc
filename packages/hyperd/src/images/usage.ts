import { isHyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { Collected } from './garbage.ts';
import { blobsOf, readStoredImage } from './image-files.ts';
import type { ImagesUsage } from './image-service.ts';
import { diskBytes } from './store/disk-bytes.ts';

/** What all images together take on the disk. */
export async function diskUsage({ records, store, layers, rootfs }: Collected): Promise<ImagesUsage> {
  const derived = [
    ...layers.list().flatMap(({ diffId }) => layers.files(diffId)),
    ...rootfs.list().flatMap((chainId) => rootfs.files(chainId)),
  ];
  return {
    images: records.all().length,
    blobBytes: await diskBytes((await store.list()).map((digest) => store.path(digest))),
    rootfsBytes: await diskBytes(derived),
  };
}

/** The files that an image needs: blobs, unpacked layers, its root file system. None where it is too damaged to tell. */
export async function filesOfImage(
  manifestDigest: Digest,
  { store, layers, rootfs }: Pick<Collected, 'store' | 'layers' | 'rootfs'>,
): Promise<ReadonlySet<string>> {
  try {
    const image = await readStoredImage(store, manifestDigest);
    return new Set([
      ...blobsOf(image).map((digest) => store.path(digest)),
      ...image.config.rootfs.diff_ids.flatMap((diffId) => layers.files(diffId)),
      ...rootfs.files(image.chainId),
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
