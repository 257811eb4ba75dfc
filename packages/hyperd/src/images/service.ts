import { join } from 'node:path';
import { Readable } from 'node:stream';
import { HyperError, messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import type { Digest } from '../ids.ts';
import type { Logger } from '../logger.ts';
import { MAX_CONFIG_BYTES, parseConfig, runConfigOf } from '../oci/documents.ts';
import type { ResolvedImage } from '../oci/image-config.ts';
import { openUrl } from '../open-url.ts';
import type { State } from '../state/database.ts';
import type { Ailment } from '../upkeep/index.ts';
import { Assembly, type ImageAssembly } from './assembly/assembly.ts';
import { Catalog } from './catalog.ts';
import { dateOf, detailsOf, historyOf } from './details.ts';
import { shortId } from './digest.ts';
import { examineImages } from './examine-images.ts';
import { type Collected, collectGarbage } from './garbage.ts';
import { blobsOf, parsePlatform, readStoredImage, type StoredImage } from './image-files.ts';
import type {
  HistoryEntry,
  ImageDetails,
  ImageService,
  ImageSummary,
  ImagesUsage,
  ImageUsage,
  ImageUsers,
  ImportOptions,
  LoadOptions,
  ProgressListener,
  PruneResult,
  PullOptions,
  RegistryAuth,
  Removal,
  RootfsLease,
  SaveOptions,
  TransferOptions,
} from './image-service.ts';
import { importImage } from './import.ts';
import { LayerStore } from './layers/layer-store.ts';
import { UnpackBudget } from './layers/layer-writer.ts';
import { loadArchive } from './load.ts';
import { fetchImage } from './pull.ts';
import { pushImage } from './push.ts';
import {
  canonical,
  familiar,
  isNameOnly,
  parseReference,
  type Reference,
  withDefaultTag,
} from './reference.ts';
import { createRegistryClient } from './registry/client.ts';
import type { RegistryCall, RegistryClient, RegistryOptions } from './registry/registry.ts';
import { RootfsImages } from './rootfs-images.ts';
import { saveArchive } from './save.ts';
import { savedImages } from './saved-images.ts';
import { SingleFlight } from './single-flight.ts';
import { createBlobSources } from './store/blob-sources.ts';
import { openContentStore } from './store/content-store.ts';
import { HoldSet, Holds } from './store/holds.ts';
import { createImageRecords, type ImageRecord } from './store/image-records.ts';
import { diskUsage, filesOfImage, sharing } from './usage.ts';

const DEFAULT_MAX_IMAGE_BYTES = 64 * 1024 ** 3;

export interface ImageServiceOptions {
  readonly root: string;
  readonly state: State;
  readonly logger: Logger;
  readonly events: Events;
  readonly registries: RegistryOptions;
  /** Bound on an image's uncompressed layers and on archives, in bytes. */
  readonly maxImageBytes?: number;
  /** Layers that others than images need: they are not collected. */
  readonly otherLayers?: Collected['otherLayers'];
}

/** Opens the image store below `root`; what a crash left half-made is removed. */
export async function createImageService(options: ImageServiceOptions): Promise<ImageService> {
  const { state, logger } = options;
  const directory = join(options.root, 'images');
  const store = await openContentStore(directory);
  const layers = new LayerStore(join(directory, 'layers'), store.temporary, state);
  const holds = new Holds();
  const maxBytes = options.maxImageBytes ?? DEFAULT_MAX_IMAGE_BYTES;
  const rootfs = new RootfsImages({
    directory: join(directory, 'rootfs'),
    store,
    layers,
    holds,
    state,
    maxBytes,
  });
  for (const part of [layers, rootfs]) {
    await part.open();
    await part.removeStrays();
  }
  const records = createImageRecords(state);
  const parts = {
    records,
    store,
    layers,
    rootfs,
    sources: createBlobSources(state),
    holds,
    logger,
    otherLayers: options.otherLayers ?? (() => []),
  };
  return new Images(parts, createRegistryClient(options.registries), options.events, { directory, maxBytes });
}

class Images implements ImageService {
  readonly #parts: Collected;
  readonly #catalog: Catalog;
  readonly #registries: RegistryClient;
  readonly #events: Events;
  readonly #maxBytes: number;
  readonly #directory: string;
  readonly #releases: ((id: Digest) => Promise<void>)[] = [];
  readonly #downloads = new SingleFlight<string, void>();

  constructor(
    parts: Collected,
    registries: RegistryClient,
    events: Events,
    { directory, maxBytes }: { readonly directory: string; readonly maxBytes: number },
  ) {
    this.#parts = parts;
    this.#catalog = new Catalog(parts.records);
    this.#registries = registries;
    this.#events = events;
    this.#maxBytes = maxBytes;
    this.#directory = directory;
  }

  async resolve(reference: string): Promise<ResolvedImage> {
    const { id } = this.#catalog.find(reference);
    const config = parseConfig(await this.#parts.store.read(id, MAX_CONFIG_BYTES), `configuration ${id}`);
    return { id, run: runConfigOf(config) };
  }

  async rootfs(id: Digest, signal?: AbortSignal): Promise<RootfsLease> {
    const record = this.#parts.records.byId(id);
    if (!record) throw new HyperError('not-found', `No such image: ${id}`);
    return this.#parts.rootfs.lease(await this.#stored(record), signal);
  }

  async pull(text: string, options: PullOptions = {}): Promise<ResolvedImage> {
    const reference = withDefaultTag(parseReference(text));
    const platform = options.platform ? parsePlatform(options.platform) : undefined;
    const { signal } = options;
    const progress: ProgressListener = options.onProgress ?? (() => undefined);
    return this.#importing(`pull ${familiar(reference)}`, signal, async (held) => {
      progress({ status: `Pulling from ${reference.path}`, id: reference.tag ?? reference.digest ?? '' });
      const known = this.#parts.records.byName(canonical(reference))?.id;
      const { image, digest } = await fetchImage(reference, {
        ...{ store: this.#parts.store, layers: this.#parts.layers, downloads: this.#downloads },
        ...{ held, platform, progress, signal, budget: new UnpackBudget(this.#maxBytes) },
        repository: this.#repositoryOf(reference, options),
      });
      const byDigest = canonical({ ...reference, tag: undefined, digest });
      const names = reference.digest === undefined ? [canonical(reference), byDigest] : [byDigest];
      await this.#finish(image, names, held, { onProgress: progress, ...(signal && { signal }) });
      const blobs = [image.id, ...image.manifest.layers.map((layer) => layer.digest)];
      this.#parts.sources.add(blobs, reference.domain, reference.path);
      this.#events.image({ id: image.id, name: familiar(reference) }, 'pull');
      progress({ status: `Digest: ${digest}` });
      const news = known === image.id ? 'Image is up to date' : 'Downloaded newer image';
      progress({ status: `Status: ${news} for ${familiar(reference)}` });
      return { id: image.id, run: runConfigOf(image.config) };
    });
  }

  async pullAll(text: string, options: PullOptions = {}): Promise<number> {
    const repository = parseReference(text);
    const tags = await this.#repositoryOf(repository, options)(options.signal).tags();
    if (tags.length === 0)
      throw new HyperError('not-found', `pull all tags of ${text}: the repository has none`);
    for (const tag of tags) await this.pull(familiar({ ...repository, tag }), options);
    return tags.length;
  }

  async push(text: string, options: PullOptions = {}): Promise<Digest> {
    const reference = parseReference(text);
    if (reference.digest !== undefined)
      throw new HyperError(
        'invalid-argument',
        `push ${text}: an image is pushed by its tag, not by a digest`,
      );
    const targets = isNameOnly(reference)
      ? this.#catalog.tagsOf(reference)
      : [{ reference, record: this.#byName(reference) }];
    if (targets.length === 0)
      throw new HyperError(
        'not-found',
        `An image does not exist locally with the tag: ${familiar(reference)}`,
      );
    const progress: ProgressListener = options.onProgress ?? (() => undefined);
    progress({ status: `The push refers to repository [${reference.domain}/${reference.path}]` });
    let digest: Digest | undefined;
    for (const target of targets) digest = await this.#pushOne(target, options, progress);
    return digest as Digest;
  }

  async save(texts: readonly string[], options: SaveOptions): Promise<Readable> {
    const held = new HoldSet(this.#parts.holds);
    try {
      const images = await savedImages(texts, { catalog: this.#catalog, store: this.#parts.store, held });
      const stream = Readable.from(saveArchive(images, this.#parts.store, options), { objectMode: false });
      stream.once('close', () => held[Symbol.dispose]());
      for (const { image } of images) this.#events.image({ id: image.id, name: '' }, 'save');
      return stream;
    } catch (error) {
      held[Symbol.dispose]();
      throw error;
    }
  }

  async load(archive: Readable, options: LoadOptions = {}): Promise<ImageSummary[]> {
    const { signal, onProgress: progress = () => undefined } = options;
    return this.#importing('load image', signal, async (held) => {
      const { store, layers, records } = this.#parts;
      const context = { store, layers, held, progress, signal, maxBytes: this.#maxBytes, names: options };
      const loaded = await loadArchive(archive as AsyncIterable<Uint8Array>, context);
      const summaries: ImageSummary[] = [];
      for (const { image, names } of loaded) {
        await this.#finish(image, names, held, options);
        for (const name of names) progress({ stream: `Loaded image: ${familiar(parseReference(name))}\n` });
        if (names.length === 0) progress({ stream: `Loaded image ID: ${image.id}\n` });
        const record = records.byId(image.id);
        if (record) summaries.push(this.#catalog.summary(record));
        const [name = ''] = names;
        this.#events.image({ id: image.id, name: name && familiar(parseReference(name)) }, 'load');
      }
      return summaries;
    });
  }

  async import(layer: Readable, options: ImportOptions = {}, from = '-'): Promise<Digest> {
    const { signal, onProgress: progress = () => undefined } = options;
    const names = options.reference ? [canonical(withDefaultTag(parseReference(options.reference)))] : [];
    return this.#importing('import image', signal, async (held) => {
      const { store, layers } = this.#parts;
      const context = { store, layers, held, progress, signal, maxBytes: this.#maxBytes, from };
      const image = await importImage(layer, options, context);
      await this.#finish(image, names, held, options);
      this.#events.image({ id: image.id, name: options.reference ?? '' }, 'import');
      progress({ status: image.id });
      return image.id;
    });
  }

  async importUrl(url: string, options: ImportOptions = {}): Promise<Digest> {
    options.onProgress?.({ status: `Downloading from ${url}` });
    const source = await openUrl(url, options.signal);
    try {
      return await this.import(source, options, url);
    } finally {
      source.destroy();
    }
  }

  async login(auth: RegistryAuth, signal?: AbortSignal): Promise<string> {
    await this.#registries.checkLogin(auth, signal);
    return 'Login Succeeded';
  }

  assemble(): ImageAssembly {
    const { store, layers, rootfs, holds } = this.#parts;
    return new Assembly({
      ...{ store, layers, rootfs, maxBytes: this.#maxBytes, held: new HoldSet(holds) },
      find: (reference) => this.#catalog.find(reference),
      // Its layers are there; they are put together when the image is first run.
      publish: (image, names) => {
        const references = names.map((name) => withDefaultTag(parseReference(name)));
        this.#publish(image, references.map(canonical));
        const [first] = references;
        this.#events.image({ id: image.id, name: first ? familiar(first) : '' }, 'create');
      },
    });
  }

  async tag(source: string, target: string): Promise<void> {
    const { id, name } = this.#catalog.tag(source, target);
    this.#events.image({ id, name }, 'tag');
  }

  async list(): Promise<ImageSummary[]> {
    return this.#parts.records.all().map((record) => this.#catalog.summary(record));
  }

  async listUsage(): Promise<ImageUsage[]> {
    const records = this.#parts.records.all();
    const files = records.map(({ manifestDigest }) => filesOfImage(manifestDigest, this.#parts));
    const shares = await sharing(await Promise.all(files));
    return records.map((record, index) => ({
      ...this.#catalog.summary(record),
      ...(shares[index] ?? { sharedBytes: 0, uniqueBytes: 0 }),
    }));
  }

  async inspect(reference: string): Promise<ImageDetails> {
    const record = this.#catalog.find(reference);
    return detailsOf(await this.#stored(record), this.#catalog.summary(record), this.#parts.store);
  }

  async history(reference: string): Promise<HistoryEntry[]> {
    const record = this.#catalog.find(reference);
    return historyOf(await this.#stored(record), this.#catalog.summary(record), this.#parts.layers);
  }

  async remove(
    reference: string,
    { force, users }: { readonly force: boolean; readonly users: ImageUsers },
  ): Promise<Removal[]> {
    const { id } = this.#catalog.find(reference);
    const removals = this.#catalog.remove(reference, force, users);
    await this.#tellRemoved(id, removals);
    if (removals.some((removal) => 'deleted' in removal)) await this.collectGarbage();
    return removals;
  }

  async prune({ all, users }: { readonly all: boolean; readonly users: ImageUsers }): Promise<PruneResult> {
    const { records } = this.#parts;
    const before = await this.#diskBytes();
    const removals: Removal[] = [];
    for (const record of records.all()) {
      const { id } = record;
      if (users(id).length > 0 || (!all && this.#catalog.summary(record).tags.length > 0)) continue;
      const steps = this.#catalog.remove(id, true, users);
      await this.#tellRemoved(id, steps);
      removals.push(...steps);
    }
    await this.collectGarbage();
    return { removals, reclaimedBytes: Math.max(0, before - (await this.#diskBytes())) };
  }

  usage(): Promise<ImagesUsage> {
    return diskUsage(this.#parts);
  }

  examine(options: { readonly verify: boolean }): Promise<Ailment[]> {
    return examineImages(this.#parts, this.#directory, options);
  }

  collectGarbage(): Promise<void> {
    return collectGarbage(this.#parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registries[Symbol.asyncDispose]();
  }

  onRemove(release: (id: Digest) => Promise<void>): void {
    this.#releases.push(release);
  }

  async #tellRemoved(id: Digest, removals: readonly Removal[]): Promise<void> {
    for (const removal of removals) {
      if ('untagged' in removal) this.#events.image({ id, name: removal.untagged }, 'untag');
      else this.#events.image({ id, name: '' }, 'delete');
    }
    if (removals.some((removal) => 'deleted' in removal))
      await Promise.all(this.#releases.map((release) => release(id)));
  }

  async #diskBytes(): Promise<number> {
    const { blobBytes, rootfsBytes } = await this.usage();
    return blobBytes + rootfsBytes;
  }

  #stored({ manifestDigest }: ImageRecord): Promise<StoredImage> {
    return readStoredImage(this.#parts.store, manifestDigest);
  }

  #byName(reference: Reference): ImageRecord {
    const record = this.#parts.records.byName(canonical(reference));
    if (record) return record;
    throw new HyperError('not-found', `An image does not exist locally with the tag: ${familiar(reference)}`);
  }

  #repositoryOf(reference: Reference, { auth, onProgress }: PullOptions) {
    return (signal: AbortSignal | undefined) => {
      const call: RegistryCall = {
        ...{ auth, signal },
        onRetry: (delayMs, reason) =>
          onProgress?.({ status: `Retrying in ${Math.ceil(delayMs / 1000)} seconds: ${reason}` }),
      };
      return this.#registries.repository(reference, call);
    };
  }

  async #pushOne(
    { reference, record }: { readonly reference: Reference; readonly record: ImageRecord },
    options: PullOptions,
    progress: ProgressListener,
  ): Promise<Digest> {
    using held = new HoldSet(this.#parts.holds);
    const image = await this.#stored(record);
    for (const digest of blobsOf(image)) await held.hold(digest);
    await pushImage(image, reference, {
      ...{ store: this.#parts.store, sources: this.#parts.sources, progress, signal: options.signal },
      repository: this.#repositoryOf(reference, options),
    });
    this.#events.image({ id: image.id, name: familiar(reference) }, 'push', { digest: image.manifestDigest });
    return image.manifestDigest;
  }

  /** Runs a pull, load or import; what a failed one leaves is collected. */
  async #importing<T>(
    what: string,
    signal: AbortSignal | undefined,
    work: (held: HoldSet) => Promise<T>,
  ): Promise<T> {
    const held = new HoldSet(this.#parts.holds);
    try {
      const result = await work(held);
      held[Symbol.dispose]();
      return result;
    } catch (error) {
      held[Symbol.dispose]();
      await this.collectGarbage().catch((failure: unknown) => {
        this.#parts.logger.warn({ err: messageOf(failure) }, 'clean up after a failed import');
      });
      if (signal?.aborted && !(error instanceof HyperError))
        throw new HyperError('canceled', `${what}: canceled`, { cause: error });
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC')
        throw new HyperError('limit', `${what}: no space is left on the disk`, { cause: error });
      throw error;
    }
  }

  /** Makes the rootfs, then the image visible. */
  async #finish(
    image: StoredImage,
    names: readonly string[],
    held: HoldSet,
    { onProgress, signal }: TransferOptions,
  ): Promise<void> {
    await this.#parts.rootfs.ensure(image, {
      ...{ held, ...(signal && { signal }) },
      onLayer: (digest, event) =>
        onProgress?.({ status: event === 'unpacking' ? 'Extracting' : 'Pull complete', id: shortId(digest) }),
    });
    this.#publish(image, names);
  }

  #publish(image: StoredImage, names: readonly string[]): void {
    const { layers, records } = this.#parts;
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
}
