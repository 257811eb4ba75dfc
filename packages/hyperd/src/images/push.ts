import type { Digest } from '../ids.ts';
import { MAX_MANIFEST_BYTES } from '../oci/documents.ts';
import { shortId } from './digest.ts';
import { manifestType, type StoredImage } from './image-files.ts';
import type { ProgressListener } from './image-service.ts';
import { ProgressMeter } from './progress.ts';
import type { Reference } from './reference.ts';
import type { Repository } from './registry/registry.ts';
import type { BlobSources } from './store/blob-sources.ts';
import type { ContentStore } from './store/content-store.ts';

const PARALLEL_LAYERS = 3;

export interface PushContext {
  readonly store: ContentStore;
  readonly sources: BlobSources;
  /** The target, its calls ended by a signal. */
  readonly repository: (signal: AbortSignal | undefined) => Repository;
  readonly progress: ProgressListener;
  readonly signal: AbortSignal | undefined;
}

interface Blob {
  readonly digest: Digest;
  readonly size: number;
}

/** Sends an image's blobs, where the registry has not got them, and then its manifest as it came (OCI distribution-spec, push). */
export async function pushImage(image: StoredImage, target: Reference, context: PushContext): Promise<void> {
  const { progress, store, repository, signal } = context;
  const { manifest, manifestDigest } = image;
  const layers = [...new Map(manifest.layers.map(({ digest, size }) => [digest, { digest, size }])).values()];
  for (const { digest } of layers) progress({ status: 'Preparing', id: shortId(digest) });
  await pushAll(layers, target, context);
  const { digest, size } = manifest.config;
  await pushBlob({ digest, size }, target, { ...context, progress: () => undefined });
  const bytes = await store.read(manifestDigest, MAX_MANIFEST_BYTES);
  const tag = target.tag as string;
  await repository(signal).putManifest(tag, bytes, manifestType(manifest));
  progress({ status: `${tag}: digest: ${manifestDigest} size: ${bytes.length}` });
  progress({ aux: { Tag: tag, Digest: manifestDigest, Size: bytes.length } });
}

async function pushAll(blobs: readonly Blob[], target: Reference, context: PushContext): Promise<void> {
  const waiting = [...blobs];
  const stop = new AbortController();
  const signal = context.signal ? AbortSignal.any([context.signal, stop.signal]) : stop.signal;
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift())
      await pushBlob(next, target, { ...context, signal });
  };
  const workers = Array.from({ length: PARALLEL_LAYERS }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    stop.abort();
    await Promise.allSettled(workers);
    throw error;
  }
}

async function pushBlob({ digest, size }: Blob, target: Reference, context: PushContext): Promise<void> {
  const { store, sources, progress, signal } = context;
  const repository = context.repository(signal);
  const id = shortId(digest);
  const known = (): void => sources.add([digest], target.domain, target.path);
  if (await repository.hasBlob(digest)) {
    progress({ status: 'Layer already exists', id });
    known();
    return;
  }
  for (const from of sources.of(digest, target.domain, target.path)) {
    if (!(await repository.mountBlob(digest, from))) continue;
    progress({ status: `Mounted from ${from}`, id });
    known();
    return;
  }
  const meter = new ProgressMeter(progress, { status: 'Pushing', id, totalBytes: size });
  const blob = { digest, sizeBytes: size, read: (fromByte: number) => store.stream(digest, fromByte) };
  await repository.uploadBlob(
    blob,
    (sent) => meter.show(sent),
    (delayMs) => progress({ status: `Retrying in ${Math.ceil(delayMs / 1000)} seconds`, id }),
  );
  progress({ status: 'Pushed', id });
  known();
}
