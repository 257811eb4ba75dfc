import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { HyperError } from '../errors.ts';
import type { Events } from '../events/index.ts';
import type { Digest } from '../ids.ts';
import type { Logger } from '../logger.ts';
import { MAX_CONFIG_BYTES, parseConfig, runConfigOf } from '../oci/documents.ts';
import type { ResolvedImage } from '../oci/image-config.ts';
import type { State } from '../state/database.ts';
import type { Ailment } from '../upkeep/index.ts';
import { Assembly, type ImageAssembly } from './assembly/assembly.ts';
import { Catalog } from './catalog.ts';
import { detailsOf, historyOf } from './details.ts';
import { examineImages } from './examine-images.ts';
import { type Collected, collectGarbage } from './garbage.ts';
import { readStoredImage, type StoredImage } from './image-files.ts';
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
  PruneResult,
  PullOptions,
  RegistryAuth,
  Removal,
  RootfsLease,
  SaveOptions,
} from './image-service.ts';
import { LayerStore } from './layers/layer-store.ts';
import { publishImage } from './publish.ts';
import { canonical, familiar, parseReference, withDefaultTag } from './reference.ts';
import { createRegistryClient } from './registry/client.ts';
import type { RegistryClient, RegistryOptions } from './registry/registry.ts';
import { RootfsImages } from './rootfs-images.ts';
import { createBlobSources } from './store/blob-sources.ts';
import { openContentStore } from './store/content-store.ts';
import { HoldSet, Holds } from './store/holds.ts';
import { createImageRecords, type ImageRecord } from './store/image-records.ts';
import { ImageTransfers } from './transfers.ts';
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
  readonly #transfers: ImageTransfers;

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
    this.#transfers = new ImageTransfers({ parts, catalog: this.#catalog, registries, events, maxBytes });
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

  pull(reference: string, options?: PullOptions): Promise<ResolvedImage> {
    return this.#transfers.pull(reference, options);
  }

  pullAll(repository: string, options?: PullOptions): Promise<number> {
    return this.#transfers.pullAll(repository, options);
  }

  push(reference: string, options?: PullOptions): Promise<Digest> {
    return this.#transfers.push(reference, options);
  }

  save(references: readonly string[], options: SaveOptions): Promise<Readable> {
    return this.#transfers.save(references, options);
  }

  load(archive: Readable, options?: LoadOptions): Promise<ImageSummary[]> {
    return this.#transfers.load(archive, options);
  }

  import(layer: Readable, options?: ImportOptions): Promise<Digest> {
    return this.#transfers.import(layer, options);
  }

  importUrl(url: string, options?: ImportOptions): Promise<Digest> {
    return this.#transfers.importUrl(url, options);
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
        publishImage(image, references.map(canonical), this.#parts);
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
}
