import type { Readable } from 'node:stream';
import { HyperError } from '../errors.ts';
import { MEDIA } from '../oci/documents.ts';
import type { ArchiveContext } from './archive-files.ts';
import { applyChanges } from './changes.ts';
import { HOST_PLATFORM, type StoredImage } from './image-files.ts';
import type { ImportOptions } from './image-service.ts';
import { writeImage } from './image-writing.ts';
import { compressionOf, uncompressed } from './layers/decompress.ts';
import { LayerFeed } from './layers/layer-feed.ts';
import type { LayerInfo } from './layers/layer-store.ts';
import { UnpackBudget } from './layers/layer-writer.ts';

export interface ImportContext extends ArchiveContext {
  /** What the image's history says the layer came from. */
  readonly from: string;
}

/**
 * Makes an image out of one layer: a tar, plain or compressed. gzip and zstd are kept as they come; what no media type exists for is kept uncompressed.
 * Throws `corrupt`, `limit`, `canceled`, `invalid-argument` for changes that are none.
 */
export async function importImage(
  source: Readable,
  options: Pick<ImportOptions, 'message' | 'changes'>,
  context: ImportContext,
): Promise<StoredImage> {
  const config = applyChanges({}, options.changes ?? []);
  const { layer, descriptor } = await takeLayer(source, context);
  const created = new Date().toISOString();
  const comment = options.message || `Imported from ${context.from}`;
  const { os, architecture } = HOST_PLATFORM;
  const document = {
    ...{ created, architecture, os, comment, config },
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
    history: [{ created, comment }],
  };
  return writeImage(document, [descriptor], { ...context, what: 'import image' });
}

async function takeLayer(source: Readable, context: ImportContext) {
  const { store, layers, held, maxBytes, progress, signal } = context;
  const { start, compression, bytes } = await compressionOf(source as AsyncIterable<Uint8Array>);
  const isKept = compression === 'gzip' || compression === 'zstd' || compression === undefined;
  const content = isKept ? bytes : uncompressed(bytes, 'archive');
  if (start.length === 0) throw new HyperError('invalid-argument', 'import image: the archive is empty');
  let layer: LayerInfo | undefined;
  await using draft = await store.draft();
  await using feed = new LayerFeed(async (unread, stopped) => {
    await using writer = await layers.draft(new UnpackBudget(maxBytes), 'archive');
    for await (const chunk of uncompressed(unread, 'archive')) {
      stopped.throwIfAborted();
      await writer.write(chunk);
    }
    stopped.throwIfAborted();
    layer = await writer.commit();
  });
  for await (const chunk of content) {
    if (signal?.aborted) throw new HyperError('canceled', 'import image: canceled');
    await draft.append(chunk);
    await feed.write(chunk);
    if (draft.sizeBytes > maxBytes)
      throw new HyperError('limit', `import image: more than ${maxBytes} bytes`);
    progress({ status: 'Importing', progressDetail: { current: draft.sizeBytes } });
  }
  await feed.finish();
  if (!layer) throw new HyperError('internal', 'import image: no layer was made');
  await held.hold(layer.diffId);
  const digest = await draft.seal();
  await held.hold(digest);
  if (!(await store.has(digest, draft.sizeBytes))) await draft.commit();
  const suffix = compression === 'gzip' || compression === 'zstd' ? `+${compression}` : '';
  return { layer, descriptor: { mediaType: `${MEDIA.ociLayer}${suffix}`, digest, size: draft.sizeBytes } };
}
