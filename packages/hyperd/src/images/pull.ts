import { HyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import {
  type Descriptor,
  MAX_CONFIG_BYTES,
  type Manifest,
  parseConfig,
  parseIndexOrManifest,
} from '../oci/documents.ts';
import { chainIdOf, checkLayers, choosePlatform, digestOf, type StoredImage } from './image-files.ts';
import type { ProgressListener } from './image-service.ts';
import { familiar, type Reference } from './reference.ts';
import type { Repository } from './registry/client.ts';
import type { SingleFlight } from './single-flight.ts';
import type { ContentStore } from './store/content-store.ts';

const PARALLEL_LAYERS = 3;
const PROGRESS_INTERVAL_MS = 100;

export interface PullContext {
  readonly store: ContentStore;
  readonly repository: Repository;
  /** Downloads under way, shared by all pulls of the daemon. */
  readonly downloads: SingleFlight<Digest, void>;
  /** Keeps a blob from being collected while the pull goes on. */
  readonly protect: (digest: Digest) => void;
  readonly progress: ProgressListener;
  readonly signal: AbortSignal | undefined;
}

/** Twelve digits, as Docker names layers in its progress. */
export function shortId(digest: Digest): string {
  return digest.slice('sha256:'.length, 'sha256:'.length + 12);
}

/**
 * Brings an image's manifest, configuration and layers into the store (OCI distribution-spec, pull). Resolves with it and the digest that its name
 * stands for in the registry (of the index, where there is one).
 */
export async function fetchImage(
  reference: Reference,
  context: PullContext,
): Promise<{ readonly image: StoredImage; readonly digest: Digest }> {
  const name = familiar(reference);
  const { bytes, digest } = await fetchManifest(reference.digest ?? (reference.tag as string), context);
  let manifestBytes = bytes;
  let document = parseIndexOrManifest(bytes, `manifest of ${name}`);
  if ('index' in document) {
    const chosen = choosePlatform(document.index, `pull ${name}`);
    manifestBytes = (await fetchManifest(chosen.digest, context)).bytes;
    document = parseIndexOrManifest(manifestBytes, `manifest ${chosen.digest} of ${name}`);
  }
  if ('index' in document) throw new HyperError('corrupt', `pull ${name}: its index leads to another index`);
  const { manifest } = document;
  if (manifest.config.size > MAX_CONFIG_BYTES)
    throw new HyperError('limit', `pull ${name}: a configuration of ${manifest.config.size} bytes`);
  await download(manifest.config, context, () => undefined);
  const config = parseConfig(
    await context.store.read(manifest.config.digest, MAX_CONFIG_BYTES),
    `configuration of ${name}`,
  );
  checkLayers(manifest, config, `pull ${name}`);
  await downloadLayers(manifest, context);
  const manifestDigest = digestOf(manifestBytes);
  context.protect(manifestDigest);
  await context.store.write(manifestDigest, manifestBytes);
  const chainId = chainIdOf(config.rootfs.diff_ids);
  return { image: { id: manifest.config.digest, manifestDigest, manifest, config, chainId }, digest };
}

/** By tag or digest; the bytes are verified against whatever digest is known. */
async function fetchManifest(
  tagOrDigest: string,
  { repository }: PullContext,
): Promise<{ bytes: Buffer; digest: Digest }> {
  const { bytes, digest: announced } = await repository.manifest(tagOrDigest);
  const digest = digestOf(bytes);
  const expected = tagOrDigest.startsWith('sha256:') ? tagOrDigest : announced;
  if (expected !== undefined && expected !== digest)
    throw new HyperError('corrupt', `verify manifest ${tagOrDigest}: expected ${expected}, got ${digest}`);
  return { bytes, digest };
}

async function downloadLayers({ layers }: Manifest, context: PullContext): Promise<void> {
  const waiting = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
  for (const { digest } of waiting) context.progress({ status: 'Pulling fs layer', id: shortId(digest) });
  const stop = new AbortController();
  const signal = context.signal ? AbortSignal.any([context.signal, stop.signal]) : stop.signal;
  const worker = async (): Promise<void> => {
    for (let layer = waiting.shift(); layer; layer = waiting.shift())
      await downloadLayer(layer, { ...context, signal });
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL_LAYERS }, worker));
  } catch (error) {
    stop.abort(); // the other layers are of no use without this one
    throw error;
  }
}

async function downloadLayer(layer: Descriptor, context: PullContext): Promise<void> {
  const id = shortId(layer.digest);
  if (await context.store.has(layer.digest)) {
    context.protect(layer.digest);
    context.progress({ status: 'Already exists', id });
    return;
  }
  let shownAt = 0;
  await download(layer, context, (current) => {
    const now = Date.now();
    if (now - shownAt < PROGRESS_INTERVAL_MS && current < layer.size) return;
    shownAt = now;
    context.progress({ status: 'Downloading', id, progressDetail: { current, total: layer.size } });
  });
  context.progress({ status: 'Download complete', id });
}

async function download(
  { digest, size }: Descriptor,
  context: PullContext,
  onBytes: (current: number) => void,
): Promise<void> {
  const { store, repository, downloads, signal } = context;
  context.protect(digest);
  await downloads.run(digest, signal, async (shared) => {
    if (await store.has(digest)) return;
    await using draft = await store.draft(digest);
    const sink = {
      get sizeBytes() {
        return draft.sizeBytes;
      },
      async append(chunk: Uint8Array) {
        shared.throwIfAborted();
        await draft.append(chunk);
        onBytes(draft.sizeBytes);
      },
      reset: () => draft.reset(),
    };
    await repository.blob(digest, size, sink);
    await draft.commit();
  });
}
