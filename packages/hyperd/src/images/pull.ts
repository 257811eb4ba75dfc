import { HyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import {
  type Descriptor,
  MAX_CONFIG_BYTES,
  type Manifest,
  parseConfig,
  parseIndexOrManifest,
} from '../oci/documents.ts';
import { chainIdOf, digestOf, shortId } from './digest.ts';
import {
  checkIsImage,
  checkLayers,
  checkPlatform,
  choosePlatform,
  HOST_PLATFORM,
  type Platform,
  type StoredImage,
} from './image-files.ts';
import type { ProgressListener } from './image-service.ts';
import { uncompressed } from './layers/decompress.ts';
import { LayerFeed } from './layers/layer-feed.ts';
import type { LayerStore } from './layers/layer-store.ts';
import type { UnpackBudget } from './layers/layer-writer.ts';
import { ProgressMeter } from './progress.ts';
import { familiar, type Reference } from './reference.ts';
import type { Repository } from './registry/registry.ts';
import type { SingleFlight } from './single-flight.ts';
import type { ContentStore } from './store/content-store.ts';
import type { HoldSet } from './store/holds.ts';

const PARALLEL_LAYERS = 3;

export interface PullContext {
  readonly store: ContentStore;
  readonly layers: LayerStore;
  /** The repository, its calls ended by a signal. */
  readonly repository: (signal: AbortSignal | undefined) => Repository;
  /** Downloads under way, shared by all pulls of the daemon. */
  readonly downloads: SingleFlight<string, void>;
  /** Keeps what has been brought from being collected while the pull goes on. */
  readonly held: HoldSet;
  /** What was asked for (default: this host's, and of an image for one platform whatever it is for). */
  readonly platform: Platform | undefined;
  readonly budget: UnpackBudget;
  readonly progress: ProgressListener;
  readonly signal: AbortSignal | undefined;
}

/**
 * Brings an image's manifest, configuration and layers into the store (OCI distribution-spec, pull). Layers are unpacked while they arrive. Resolves with
 * the image and the digest that its name stands for in the registry (of the index, where there is one).
 */
export async function fetchImage(
  reference: Reference,
  context: PullContext,
): Promise<{ readonly image: StoredImage; readonly digest: Digest }> {
  const name = familiar(reference);
  const { bytes, digest } = await fetchManifest(reference.digest ?? (reference.tag as string), context);
  let manifestBytes = bytes;
  let document = parseIndexOrManifest(bytes, `manifest of ${name}`);
  const isForMany = 'index' in document;
  if ('index' in document) {
    const chosen = choosePlatform(document.index, context.platform ?? HOST_PLATFORM, `pull ${name}`);
    manifestBytes = (await fetchManifest(chosen.digest, context)).bytes;
    document = parseIndexOrManifest(manifestBytes, `manifest ${chosen.digest} of ${name}`);
  }
  if ('index' in document) throw new HyperError('corrupt', `pull ${name}: its index leads to another index`);
  const { manifest } = document;
  checkIsImage(manifest, `pull ${name}`);
  const config = await fetchConfig(manifest, name, context);
  if (context.platform && !isForMany) checkPlatform(config, context.platform, `pull ${name}`);
  checkLayers(manifest, config, `pull ${name}`);
  await fetchLayers(manifest, config.rootfs.diff_ids, context);
  const manifestDigest = digestOf(manifestBytes);
  await context.held.hold(manifestDigest);
  await context.store.write(manifestDigest, manifestBytes);
  const chainId = chainIdOf(config.rootfs.diff_ids);
  return { image: { id: manifest.config.digest, manifestDigest, manifest, config, chainId }, digest };
}

/** By tag or digest; the bytes are verified against whatever digest is known. */
async function fetchManifest(
  tagOrDigest: string,
  { repository, signal }: PullContext,
): Promise<{ bytes: Buffer; digest: Digest }> {
  const { bytes, digest: announced } = await repository(signal).manifest(tagOrDigest);
  const digest = digestOf(bytes);
  const expected = tagOrDigest.startsWith('sha256:') ? tagOrDigest : announced;
  if (expected !== undefined && expected !== digest)
    throw new HyperError('corrupt', `verify manifest ${tagOrDigest}: expected ${expected}, got ${digest}`);
  return { bytes, digest };
}

async function fetchConfig({ config }: Manifest, name: string, context: PullContext) {
  const { store, held, downloads, repository, signal } = context;
  const { digest, size } = config;
  if (size > MAX_CONFIG_BYTES)
    throw new HyperError(
      'limit',
      `pull ${name}: a configuration of ${size} bytes, at most ${MAX_CONFIG_BYTES} are read`,
    );
  await held.hold(digest);
  await downloads.run(digest, signal, async (shared) => {
    if (await store.verify(digest)) return;
    await using draft = await store.draft(digest);
    await repository(shared).blob(digest, size, {
      get sizeBytes() {
        return draft.sizeBytes;
      },
      append: (chunk) => draft.append(chunk),
      reset: () => draft.reset(),
    });
    await draft.commit();
  });
  return parseConfig(await store.read(digest, MAX_CONFIG_BYTES), `configuration of ${name}`);
}

async function fetchLayers(
  { layers }: Manifest,
  diffIds: readonly Digest[],
  context: PullContext,
): Promise<void> {
  const waiting = [
    ...new Map(
      layers.map((layer, index) => [layer.digest, { layer, diffId: diffIds[index] as Digest }]),
    ).values(),
  ];
  for (const { layer } of waiting)
    context.progress({ status: 'Pulling fs layer', id: shortId(layer.digest) });
  const stop = new AbortController();
  const signal = context.signal ? AbortSignal.any([context.signal, stop.signal]) : stop.signal;
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift())
      await fetchLayer(next.layer, next.diffId, { ...context, signal });
  };
  const workers = Array.from({ length: PARALLEL_LAYERS }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    stop.abort(); // the other layers are of no use without this one
    await Promise.allSettled(workers); // what they hold open is closed before it is collected
    throw error;
  }
}

async function fetchLayer({ digest, size }: Descriptor, diffId: Digest, context: PullContext): Promise<void> {
  const { held, downloads, signal, progress } = context;
  const id = shortId(digest);
  await held.hold(digest);
  await held.hold(diffId);
  if (await isThere({ digest, size }, diffId, context)) {
    progress({ status: 'Already exists', id });
    return;
  }
  const meter = new ProgressMeter(progress, { status: 'Downloading', id, totalBytes: size });
  // Of one blob two images may expect different contents; only who expects the same can share the work.
  await downloads.run(`${digest} ${diffId}`, signal, (shared) =>
    download({ digest, size }, diffId, context, {
      signal: shared,
      onBytes: (current) => meter.show(current),
    }),
  );
  progress({ status: 'Pull complete', id });
}

/** Whether the layer's blob can be relied on: one that is still to be unpacked is read first, as it may have been damaged. */
async function isThere(
  { digest, size }: Descriptor,
  diffId: Digest,
  { store, layers }: PullContext,
): Promise<boolean> {
  if (!(await store.has(digest, size))) return false;
  return (await layers.has(diffId)) || (await store.verify(digest));
}

interface DownloadWatcher {
  /** Of all who wait for the download. */
  readonly signal: AbortSignal;
  onBytes(current: number): void;
}

async function download(
  { digest, size }: Descriptor,
  diffId: Digest,
  context: PullContext,
  { signal, onBytes }: DownloadWatcher,
): Promise<void> {
  const { store, layers, repository, budget, progress } = context;
  const id = shortId(digest);
  if (await isThere({ digest, size }, diffId, context)) return;
  await using draft = await store.draft(digest);
  await using feed = (await layers.has(diffId))
    ? undefined
    : new LayerFeed(async (source, stopped) => {
        await using layer = await layers.draft(budget, `layer ${digest}`);
        for await (const chunk of uncompressed(source, `layer ${digest}`)) {
          stopped.throwIfAborted();
          await layer.write(chunk);
        }
        stopped.throwIfAborted(); // a source that was destroyed ends, too
        await layer.commit(diffId);
      });
  const sink = {
    get sizeBytes() {
      return draft.sizeBytes;
    },
    async append(chunk: Uint8Array) {
      signal.throwIfAborted();
      await draft.append(chunk);
      await feed?.write(chunk);
      onBytes(draft.sizeBytes);
    },
    async reset() {
      await draft.reset();
      await feed?.restart();
    },
  };
  await repository(signal).blob(digest, size, sink, (delayMs) => {
    progress({ status: `Retrying in ${Math.ceil(delayMs / 1000)} seconds`, id });
  });
  progress({ status: 'Download complete', id });
  progress({ status: 'Extracting', id });
  await draft.commit();
  await feed?.finish();
}
