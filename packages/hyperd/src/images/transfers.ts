import { Readable } from 'node:stream';
import { HyperError, messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import { toldOf } from '../host-failure.ts';
import type { Digest } from '../ids.ts';
import { runConfigOf } from '../oci/documents.ts';
import type { ResolvedImage } from '../oci/image-config.ts';
import { openUrl } from '../open-url.ts';
import type { Catalog } from './catalog.ts';
import { shortId } from './digest.ts';
import { type Collected, collectGarbage } from './garbage.ts';
import { blobsOf, parsePlatform, readStoredImage, type StoredImage } from './image-files.ts';
import type {
  ImageSummary,
  ImportOptions,
  LoadOptions,
  ProgressListener,
  PullOptions,
  SaveOptions,
  TransferOptions,
} from './image-service.ts';
import { importImage } from './import.ts';
import { UnpackBudget } from './layers/layer-writer.ts';
import { loadArchive } from './load.ts';
import { publishImage } from './publish.ts';
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
import type { RegistryCall, RegistryClient } from './registry/registry.ts';
import { saveArchive } from './save.ts';
import { savedImages } from './saved-images.ts';
import { SingleFlight } from './single-flight.ts';
import { HoldSet } from './store/holds.ts';
import type { ImageRecord } from './store/image-records.ts';

export interface TransferParts {
  readonly parts: Collected;
  readonly catalog: Catalog;
  readonly registries: RegistryClient;
  readonly events: Events;
  /** Bound on an image's uncompressed layers and on archives, in bytes. */
  readonly maxBytes: number;
}

/** Ways of images into the store and out of it: registries, archives and plain tars. What a method does, `ImageService` says. */
export class ImageTransfers {
  readonly #parts: Collected;
  readonly #catalog: Catalog;
  readonly #registries: RegistryClient;
  readonly #events: Events;
  readonly #maxBytes: number;
  readonly #downloads = new SingleFlight<string, void>();

  constructor({ parts, catalog, registries, events, maxBytes }: TransferParts) {
    this.#parts = parts;
    this.#catalog = catalog;
    this.#registries = registries;
    this.#events = events;
    this.#maxBytes = maxBytes;
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
      this.#noteSources(blobs, reference);
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
    const image = await readStoredImage(this.#parts.store, record.manifestDigest);
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
      await collectGarbage(this.#parts).catch((failure: unknown) => {
        this.#parts.logger.warn({ err: messageOf(failure) }, 'clean up after a failed import');
      });
      if (signal?.aborted && !(error instanceof HyperError))
        throw new HyperError('canceled', `${what}: canceled`, { cause: error });
      throw toldOf(error, what);
    }
  }

  /** Spares a later push something; the pull has succeeded without it. */
  #noteSources(blobs: readonly Digest[], { domain, path }: Reference): void {
    try {
      this.#parts.sources.add(blobs, domain, path);
    } catch (error) {
      this.#parts.logger.warn({ err: messageOf(error) }, 'note where blobs are from');
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
    publishImage(image, names, this.#parts);
  }
}
