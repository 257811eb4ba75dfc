import { MAX_CONFIG_BYTES } from '../oci/documents.ts';
import type { StoredImage } from './image-files.ts';
import type { HistoryEntry, ImageDetails, ImageSummary } from './image-service.ts';
import type { LayerStore } from './layers/layer-store.ts';
import type { ContentStore } from './store/content-store.ts';

/** An image's steps, newest first, with the sizes of their layers. */
export function historyOf(image: StoredImage, summary: ImageSummary, layers: LayerStore): HistoryEntry[] {
  const { config, manifest } = image;
  const sizes = config.rootfs.diff_ids.map(
    (diffId, index) => layers.info(diffId)?.tarBytes ?? manifest.layers[index]?.size ?? 0,
  );
  // Images without a history, or with one of other layers, still tell their layers.
  const told = config.history ?? [];
  const steps =
    told.filter(({ empty_layer }) => !empty_layer).length === sizes.length ? told : sizes.map(() => ({}));
  const entries = steps.map(
    (step: NonNullable<typeof config.history>[number]): HistoryEntry => ({
      ...{ id: undefined, tags: [], createdAt: dateOf(step.created ?? config.created) },
      ...{ createdBy: step.created_by ?? '', comment: step.comment ?? '' },
      sizeBytes: step.empty_layer ? 0 : (sizes.shift() ?? 0),
    }),
  );
  const [last, ...others] = entries.reverse();
  return last ? [{ ...last, id: image.id, tags: summary.tags }, ...others] : [];
}

/** What the configuration says beyond the summary. */
export async function detailsOf(
  image: StoredImage,
  summary: ImageSummary,
  store: ContentStore,
): Promise<ImageDetails> {
  const raw = JSON.parse((await store.read(image.id, MAX_CONFIG_BYTES)).toString()) as {
    config?: object | null;
  };
  const { config } = image;
  return {
    ...summary,
    ...{ architecture: config.architecture ?? '', os: config.os ?? '' },
    ...{ author: config.author ?? '', comment: config.comment ?? '' },
    config: { ...raw.config },
    ...{ diffIds: config.rootfs.diff_ids, manifestDigest: image.manifestDigest },
  };
}

/** The epoch where the text is no time. */
export function dateOf(text: string | null | undefined): Date {
  return new Date(Date.parse(text ?? '') || 0);
}
