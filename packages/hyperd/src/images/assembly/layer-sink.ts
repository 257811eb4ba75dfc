import { once } from 'node:events';
import { createGzip } from 'node:zlib';
import type { Digest } from '../../ids.ts';
import { type Descriptor, MEDIA } from '../../oci/documents.ts';
import { rewriteTar } from '../../tar/tar-rewriter.ts';
import type { LayerStore } from '../layers/layer-store.ts';
import { UnpackBudget } from '../layers/layer-writer.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { HoldSet } from '../store/holds.ts';

/** Layers have to be packed in no time; who wants them small packs them again. */
const GZIP_LEVEL = 1;
/** What the compressor may lag behind, in bytes. */
const MAX_WAITING_BYTES = 32 << 20;

/** A layer of an image in the making. */
export interface ImageLayer {
  readonly diffId: Digest;
  /** Of its tar. */
  readonly tarBytes: number;
  /** Whether the tar has no entry. */
  readonly isEmpty: boolean;
  /** Resolves when the blob is in the store: compressing goes on while the layer is in use already. */
  readonly blob: Promise<Descriptor>;
}

export interface SinkParts {
  readonly store: ContentStore;
  readonly layers: LayerStore;
  readonly held: HoldSet;
  readonly maxBytes: number;
}

export interface TakeOptions {
  /** What the layer is, for errors. */
  readonly what: string;
  /** Seconds since the epoch: what is younger gets this time. */
  readonly latestMtime?: number | undefined;
}

/** Takes a layer's tar in, in one pass: unpacked for machines, compressed for registries. Rejects `corrupt`, `unsupported`, `limit`. */
export async function takeLayer(
  source: AsyncIterable<Uint8Array>,
  { what, latestMtime }: TakeOptions,
  parts: SinkParts,
): Promise<ImageLayer> {
  const { store, layers, held, maxBytes } = parts;
  const tar = rewriteTar(source, { what, maxBytes, latestMtime });
  const options = { level: GZIP_LEVEL, chunkSize: 1 << 17, writableHighWaterMark: MAX_WAITING_BYTES };
  const gzip = createGzip(options);
  const blob = storeBlob(gzip as AsyncIterable<Buffer>, store, held);
  blob.catch(() => undefined); // told to who needs the blob
  try {
    await using draft = await layers.draft(new UnpackBudget(maxBytes), what);
    for await (const chunk of tar) {
      await draft.write(chunk);
      if (!gzip.write(chunk)) await Promise.race([once(gzip, 'drain'), blob]);
    }
    const { diffId, tarBytes, isEmpty } = await draft.commit(undefined, (id) => held.hold(id));
    gzip.end();
    return { diffId, tarBytes, isEmpty, blob };
  } catch (error) {
    gzip.destroy();
    await blob.catch(() => undefined);
    throw error;
  }
}

async function storeBlob(
  compressed: AsyncIterable<Buffer>,
  store: ContentStore,
  held: HoldSet,
): Promise<Descriptor> {
  await using draft = await store.draft();
  for await (const chunk of compressed) await draft.append(chunk);
  const digest = await draft.seal();
  await held.hold(digest);
  if (!(await store.has(digest, draft.sizeBytes))) await draft.commit();
  return { mediaType: `${MEDIA.ociLayer}+gzip`, digest, size: draft.sizeBytes };
}
