import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { HyperError, isHyperError, messageOf } from '../errors.ts';
import { asDigest, type Digest } from '../ids.ts';
import type { Logger } from '../logger.ts';
import { MAX_CONFIG_BYTES, parseConfig, runConfigOf } from '../oci/documents.ts';
import type { ResolvedImage } from '../oci/image-config.ts';
import type { State } from '../state/database.ts';
import { RootfsImages, readStoredImage, type StoredImage } from './image-files.ts';
import type {
  ImageService,
  ImageSummary,
  ProgressListener,
  PullOptions,
  Removal,
  RootfsLease,
} from './image-service.ts';
import { loadArchive } from './load.ts';
import { fetchImage, shortId } from './pull.ts';
import { canonical, familiar, parseReference, withDefaultTag } from './reference.ts';
import { Registries } from './registry/client.ts';
import { SingleFlight } from './single-flight.ts';
import { type ContentStore, openContentStore } from './store/content-store.ts';
import { createImageRecords, type ImageRecord, type ImageRecords } from './store/image-records.ts';

const DEFAULT_MAX_IMAGE_BYTES = 64 * 1024 ** 3;

export interface ImageServiceOptions {
  readonly root: string;
  readonly state: State;
  readonly logger: Logger;
  readonly insecureRegistries?: readonly string[];
  /** Bound on an image's uncompressed layers and on archives, in bytes. */
  readonly maxImageBytes?: number;
}

export async function createImageService(options: ImageServiceOptions): Promise<ImageService> {
  const directory = join(options.root, 'images');
  const store = await openContentStore(directory);
  const maxBytes = options.maxImageBytes ?? DEFAULT_MAX_IMAGE_BYTES;
  const rootfs = new RootfsImages(join(directory, 'rootfs'), store, maxBytes);
  await rootfs.open();
  return new Images(options, store, rootfs, maxBytes);
}

class Images implements ImageService {
  readonly #store: ContentStore;
  readonly #records: ImageRecords;
  readonly #rootfs: RootfsImages;
  readonly #registries: Registries;
  readonly #logger: Logger;
  readonly #maxBytes: number;
  readonly #downloads = new SingleFlight<Digest, void>();
  /** Blobs that running pulls and loads need, and how many of them do. */
  readonly #protected = new Map<Digest, number>();

  constructor(options: ImageServiceOptions, store: ContentStore, rootfs: RootfsImages, maxBytes: number) {
    this.#store = store;
    this.#rootfs = rootfs;
    this.#records = createImageRecords(options.state);
    this.#registries = new Registries({ insecureRegistries: options.insecureRegistries ?? [] });
    this.#logger = options.logger;
    this.#maxBytes = maxBytes;
  }

  async resolve(reference: string): Promise<ResolvedImage> {
    const { id } = this.#find(reference);
    const config = parseConfig(await this.#store.read(id, MAX_CONFIG_BYTES), `configuration ${id}`);
    return { id, run: runConfigOf(config) };
  }

  async rootfs(id: Digest, signal?: AbortSignal): Promise<RootfsLease> {
    const record = this.#records.byId(id);
    if (!record) throw new HyperError('not-found', `No such image: ${id}`);
    const image = await readStoredImage(this.#store, record.manifestDigest);
    const lease = this.#rootfs.lease(image.chainId);
    try {
      await this.#rootfs.ensure(image, signal);
      return lease;
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  }

  async pull(text: string, { auth, onProgress, signal }: PullOptions = {}): Promise<ResolvedImage> {
    const reference = withDefaultTag(parseReference(text));
    const progress: ProgressListener = onProgress ?? (() => undefined);
    return this.#importing(async (protect) => {
      const repository = this.#registries.repository(reference, auth, signal);
      progress({ status: `Pulling from ${reference.path}`, id: reference.tag ?? reference.digest ?? '' });
      const known = this.#records.byName(canonical(reference))?.id;
      const { image, digest } = await fetchImage(reference, {
        ...{ store: this.#store, repository, downloads: this.#downloads, protect, progress, signal },
      });
      await this.#finish(image, [canonical(reference), nameByDigest(reference, digest)], progress, signal);
      progress({ status: `Digest: ${digest}` });
      const isNew = known !== image.id;
      progress({
        status: `Status: ${isNew ? 'Downloaded newer image' : 'Image is up to date'} for ${familiar(reference)}`,
      });
      return { id: image.id, run: runConfigOf(image.config) };
    });
  }

  async load(
    archive: Readable,
    { onProgress, signal }: { onProgress?: ProgressListener; signal?: AbortSignal } = {},
  ): Promise<ImageSummary[]> {
    const progress: ProgressListener = onProgress ?? (() => undefined);
    return this.#importing(async (protect) => {
      const options = { maxBytes: this.#maxBytes, protect, ...(signal && { signal }) };
      const loaded = await loadArchive(archive, this.#store, options);
      const summaries: ImageSummary[] = [];
      for (const { image, names } of loaded) {
        await this.#finish(image, names, progress, signal);
        const record = this.#records.byId(image.id);
        if (!record) continue;
        const summary = this.#summary(record);
        summaries.push(summary);
        for (const name of names) progress({ stream: `Loaded image: ${familiar(parseReference(name))}\n` });
        if (names.length === 0) progress({ stream: `Loaded image ID: ${image.id}\n` });
      }
      return summaries;
    });
  }

  async list(): Promise<ImageSummary[]> {
    return this.#records.all().map((record) => this.#summary(record));
  }

  async remove(
    reference: string,
    { force, inUse }: { readonly force: boolean; readonly inUse: (id: Digest) => readonly string[] },
  ): Promise<Removal[]> {
    const record = this.#find(reference);
    const names = this.#records.namesOf(record.id);
    const tags = names.filter((name) => !name.includes('@'));
    const byName = tags.find((name) => name === canonicalOrUndefined(reference));
    const users = inUse(record.id);
    const last = byName === undefined || tags.length === 1;
    if (last && users.length > 0) throw inUseError(reference, record.id, users, byName === undefined);
    if (byName === undefined && tags.length > 1 && !force) {
      throw new HyperError(
        'conflict',
        `conflict: unable to delete ${shortId(record.id)} (must be forced) - image is referenced in multiple repositories`,
      );
    }
    const gone = last ? names : [byName];
    for (const name of gone) this.#records.removeName(name);
    const removals: Removal[] = gone.map((name) => ({ untagged: familiar(parseReference(name)) }));
    if (!last) return removals;
    this.#records.remove(record.id);
    await this.collectGarbage();
    return [...removals, { deleted: record.id }];
  }

  async collectGarbage(): Promise<void> {
    const blobs = new Set<Digest>();
    const chains = new Set<Digest>();
    for (const { id, manifestDigest } of this.#records.all()) {
      blobs.add(id).add(manifestDigest);
      try {
        const image = await readStoredImage(this.#store, manifestDigest);
        for (const { digest } of image.manifest.layers) blobs.add(digest);
        chains.add(image.chainId);
      } catch (error) {
        // What a damaged image needs cannot be known: nothing is removed before it is pulled again or removed.
        this.#logger.error({ image: id, err: error }, 'read image; garbage is kept');
        return;
      }
    }
    for (const digest of await this.#store.list())
      if (!blobs.has(digest) && !this.#protected.has(digest)) await this.#store.remove(digest);
    await this.#rootfs.removeOthers(chains);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registries[Symbol.asyncDispose]();
  }

  /** Runs a pull or load; what a failed one leaves is collected. */
  async #importing<T>(work: (protect: (digest: Digest) => void) => Promise<T>): Promise<T> {
    const held = new Set<Digest>();
    const protect = (digest: Digest): void => {
      if (held.has(digest)) return;
      held.add(digest);
      this.#protected.set(digest, (this.#protected.get(digest) ?? 0) + 1);
    };
    let failed = true;
    try {
      const result = await work(protect);
      failed = false;
      return result;
    } finally {
      for (const digest of held) {
        const left = (this.#protected.get(digest) ?? 1) - 1;
        if (left === 0) this.#protected.delete(digest);
        else this.#protected.set(digest, left);
      }
      if (failed) {
        await this.collectGarbage().catch((error: unknown) => {
          this.#logger.warn({ err: messageOf(error) }, 'clean up after a failed import');
        });
      }
    }
  }

  /** Makes the rootfs, then the image visible. */
  async #finish(
    image: StoredImage,
    names: readonly string[],
    progress: ProgressListener,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const unpacked = await this.#rootfs.ensure(image, signal, (digest) => {
      progress({ status: 'Pull complete', id: shortId(digest) });
    });
    const compressed = image.manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
    this.#records.save(
      {
        ...{ id: image.id, manifestDigest: image.manifestDigest },
        sizeBytes: unpacked ?? this.#knownSize(image.id) ?? compressed,
        createdAt: Date.parse(image.config.created ?? '') || 0,
      },
      names,
    );
  }

  #knownSize(id: Digest): number | undefined {
    return this.#records.byId(id)?.sizeBytes;
  }

  #find(text: string): ImageRecord {
    const bare = text.startsWith('sha256:') ? text.slice('sha256:'.length) : text;
    const full = asDigest(`sha256:${bare}`);
    if (full) {
      const record = this.#records.byId(full);
      if (record) return record;
    }
    let name = text;
    if (!text.startsWith('sha256:')) {
      const reference = withDefaultTag(parseReference(text));
      name = familiar(reference);
      const record = this.#records.byName(canonical(reference));
      if (record) return record;
    }
    if (/^[0-9a-f]{4,64}$/.test(bare)) {
      const found = this.#records.byIdPrefix(bare);
      if (found.length === 1 && found[0]) return found[0];
    }
    throw new HyperError('not-found', `No such image: ${name}`);
  }

  #summary(record: ImageRecord): ImageSummary {
    const names = this.#records.namesOf(record.id).map(parseReference);
    return {
      id: record.id,
      tags: names.filter(({ digest }) => digest === undefined).map(familiar),
      digests: names.filter(({ digest }) => digest !== undefined).map(familiar),
      createdAt: new Date(record.createdAt),
      sizeBytes: record.sizeBytes,
    };
  }
}

function nameByDigest(reference: Parameters<typeof canonical>[0], digest: Digest): string {
  return canonical({ ...reference, tag: undefined, digest });
}

function canonicalOrUndefined(text: string): string | undefined {
  try {
    return canonical(withDefaultTag(parseReference(text)));
  } catch (error) {
    if (isHyperError(error)) return undefined; // an id
    throw error;
  }
}

function inUseError(reference: string, id: Digest, users: readonly string[], byId: boolean): HyperError {
  const container = (users[0] ?? '').slice(0, 12);
  return new HyperError(
    'conflict',
    byId
      ? `conflict: unable to delete ${shortId(id)} (cannot be forced) - image is being used by container ${container}`
      : `conflict: unable to remove repository reference "${reference}" (must force) - container ${container} is using its referenced image ${shortId(id)}`,
  );
}
