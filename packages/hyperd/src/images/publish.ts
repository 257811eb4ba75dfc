import { dateOf } from './details.ts';
import type { Collected } from './garbage.ts';
import type { StoredImage } from './image-files.ts';

/** Makes an image visible, under names in canonical form. All that it consists of is in the store by then. */
export function publishImage(
  image: StoredImage,
  names: readonly string[],
  { layers, records }: Pick<Collected, 'layers' | 'records'>,
): void {
  const sizes = image.config.rootfs.diff_ids.map((diffId) => layers.info(diffId)?.tarBytes ?? 0);
  records.save(
    {
      ...{ id: image.id, manifestDigest: image.manifestDigest },
      sizeBytes: sizes.reduce((sum, size) => sum + size, 0),
      createdAt: dateOf(image.config.created).getTime(),
      labels: image.config.config?.Labels ?? {},
    },
    names,
  );
}
