import { posix } from 'node:path';
import { HyperError, isHyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import { MEDIA } from '../oci/documents.ts';
import { type TarEntry, TarScanner } from '../tar/tar-scanner.ts';
import type { ProgressListener } from './image-service.ts';
import { compressionOfBytes, uncompressed } from './layers/decompress.ts';
import { LayerFeed } from './layers/layer-feed.ts';
import type { LayerStore } from './layers/layer-store.ts';
import { UnpackBudget } from './layers/layer-writer.ts';
import { ProgressMeter } from './progress.ts';
import type { BlobDraft, ContentStore } from './store/content-store.ts';
import type { HoldSet } from './store/holds.ts';

const MAX_ENTRIES = 100_000;
const MAX_LINKS = 8;
const SHORT_NAME = 12;
/** Enough to see a tar's magic. */
const START_BYTES = 512;

/** What bringing images in from a tar needs. */
export interface ArchiveContext {
  readonly store: ContentStore;
  readonly layers: LayerStore;
  readonly held: HoldSet;
  /** Bound on the archive, and on each image's layers, uncompressed. */
  readonly maxBytes: number;
  readonly progress: ProgressListener;
  readonly signal: AbortSignal | undefined;
}

/** A file of an archive, kept as a draft of a blob. */
interface ArchivedFile {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Media type, were it a layer. */
  readonly layerType: string;
}

/** The files of an archive that has been read. Names are those in the archive, links followed inside it. */
export interface ArchiveFiles {
  has(name: string): boolean;
  /** Throws `corrupt` where there is none. */
  file(name: string): ArchivedFile;
  layerType(name: string): string;
  read(name: string, maxBytes: number): Promise<Buffer>;
  /** Puts a file into the store. Throws `corrupt` when it is not what `digest` says. */
  keep(name: string, digest: Digest): Promise<void>;
}

/**
 * Reads an archive through, once: every file becomes a draft of a blob, and what looks like a layer is unpacked meanwhile. Then `work` takes what it
 * needs; the rest is forgotten.
 */
export async function withArchive<T>(
  archive: AsyncIterable<Uint8Array>,
  context: ArchiveContext,
  work: (files: ArchiveFiles) => Promise<T>,
): Promise<T> {
  await using reader = new ArchiveReader(context);
  const budget = new UnpackBudget(context.maxBytes);
  for await (const chunk of uncompressed(archive, 'archive')) {
    if (context.signal?.aborted) throw new HyperError('canceled', 'load image: canceled');
    budget.take(chunk.length, 'archive');
    await reader.push(chunk);
  }
  reader.finish();
  return await work(reader);
}

type Event = { readonly entry: TarEntry } | { readonly data: Buffer };

class ArchiveReader implements ArchiveFiles, AsyncDisposable {
  readonly #context: ArchiveContext;
  readonly #entries = new Map<string, { readonly entry: TarEntry; file?: ArchivedFile; draft?: BlobDraft }>();
  readonly #scanner: TarScanner;
  #events: Event[] = [];
  #current: FileReader | undefined;

  constructor(context: ArchiveContext) {
    this.#context = context;
    this.#scanner = new TarScanner({
      onEntry: (entry) => this.#events.push({ entry }),
      onData: (data) => this.#events.push({ data }),
    });
  }

  async push(chunk: Buffer): Promise<void> {
    scanned(() => this.#scanner.push(chunk));
    const events = this.#events;
    this.#events = [];
    for (const event of events) {
      if ('entry' in event) await this.#begin(event.entry);
      else await this.#current?.write(event.data);
      if (this.#current?.isComplete) await this.#end(this.#current);
    }
  }

  finish(): void {
    scanned(() => this.#scanner.finish());
  }

  has(name: string): boolean {
    return this.#entries.has(inside(name));
  }

  file(name: string): ArchivedFile {
    return this.#resolve(name).file;
  }

  layerType(name: string): string {
    return this.file(name).layerType;
  }

  async read(name: string, maxBytes: number): Promise<Buffer> {
    const { file, draft } = this.#resolve(name);
    if (file.sizeBytes > maxBytes)
      throw new HyperError(
        'limit',
        `load image: ${printable(name)} has ${file.sizeBytes} bytes, at most ${maxBytes} are read`,
      );
    return draft.read();
  }

  async keep(name: string, digest: Digest): Promise<void> {
    const { file, draft } = this.#resolve(name);
    if (file.digest !== digest)
      throw new HyperError(
        'corrupt',
        `load image: ${printable(name)}: expected ${digest}, got ${file.digest}`,
      );
    await this.#context.held.hold(digest);
    if (!(await this.#context.store.has(digest, file.sizeBytes))) await draft.commit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#current?.[Symbol.asyncDispose]();
    for (const { draft } of this.#entries.values()) await draft?.[Symbol.asyncDispose]();
  }

  async #begin(entry: TarEntry): Promise<void> {
    if (this.#entries.size >= MAX_ENTRIES)
      throw new HyperError('limit', `load image: more than ${MAX_ENTRIES} entries`);
    const name = inside(entry.name);
    await this.#entries.get(name)?.draft?.[Symbol.asyncDispose](); // a name that comes twice: the later one counts
    this.#entries.set(name, { entry });
    if (entry.type !== 'file') return;
    this.#current = new FileReader(name, entry.sizeBytes, await this.#context.store.draft(), this.#context);
    if (this.#current.isComplete) await this.#end(this.#current);
  }

  async #end(reader: FileReader): Promise<void> {
    const file = await reader.finish();
    this.#current = undefined; // not before: where it fails, it is to be disposed of
    const place = this.#entries.get(reader.name);
    if (place) Object.assign(place, { file, draft: reader.draft });
  }

  #resolve(name: string): { readonly file: ArchivedFile; readonly draft: BlobDraft } {
    let path = inside(name);
    for (let links = 0; links < MAX_LINKS; links++) {
      const found = this.#entries.get(path);
      if (found?.file && found.draft) return { file: found.file, draft: found.draft };
      if (found?.entry.type === 'symlink') path = inside(found.entry.linkName, posix.dirname(path));
      else if (found?.entry.type === 'link') path = inside(found.entry.linkName);
      else break;
    }
    throw new HyperError('corrupt', `load image: the archive has no file ${printable(name)}`);
  }
}

/** One spelling for a name in the archive, which is the root of everything. */
function inside(name: string, directory = ''): string {
  return posix.resolve('/', directory, name).slice(1);
}

/** Tells whose tar it is that makes no sense. */
function scanned(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isHyperError(error)) throw error;
    throw new HyperError(error.code, `load image: ${error.message}`, { cause: error });
  }
}

/** One file on its way out of the archive. */
class FileReader implements AsyncDisposable {
  readonly name: string;
  readonly draft: BlobDraft;
  readonly #sizeBytes: number;
  readonly #context: ArchiveContext;
  readonly #meter: ProgressMeter;
  /** What has come before it can be told what the file is. */
  #start: Buffer | undefined = Buffer.alloc(0);
  #feed: LayerFeed | undefined;
  #layerType: string = MEDIA.ociLayer;

  constructor(name: string, sizeBytes: number, draft: BlobDraft, context: ArchiveContext) {
    this.name = name;
    this.draft = draft;
    this.#sizeBytes = sizeBytes;
    this.#context = context;
    const base = posix.basename(name) === 'layer.tar' ? posix.dirname(name) : posix.basename(name);
    const id = printable(base).slice(0, SHORT_NAME);
    this.#meter = new ProgressMeter(context.progress, { status: 'Loading layer', id, totalBytes: sizeBytes });
  }

  get isComplete(): boolean {
    return this.draft.sizeBytes === this.#sizeBytes;
  }

  async write(data: Buffer): Promise<void> {
    await this.draft.append(data);
    if (this.#start) {
      this.#start = Buffer.concat([this.#start, data]);
      if (this.#start.length < START_BYTES && !this.isComplete) return;
      this.#begin(this.#start);
      await this.#feed?.write(this.#start);
      this.#start = undefined;
    } else await this.#feed?.write(data);
    if (this.#feed) this.#meter.show(this.draft.sizeBytes);
  }

  async finish(): Promise<ArchivedFile> {
    const digest = await this.draft.seal();
    try {
      await this.#feed?.finish();
    } catch (error) {
      // What looked like a layer need not be one; if it is, making the rootfs tells what is wrong with it.
      if (!isHyperError(error)) throw error;
    }
    return { digest, sizeBytes: this.#sizeBytes, layerType: this.#layerType };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#feed?.[Symbol.asyncDispose]();
    await this.draft[Symbol.asyncDispose]();
  }

  #begin(start: Buffer): void {
    const suffix = layerSuffix(start);
    if (suffix === undefined) return;
    this.#layerType = `${MEDIA.ociLayer}${suffix}`;
    const { layers, maxBytes } = this.#context;
    const what = `layer ${printable(this.name)}`;
    this.#feed = new LayerFeed(async (source, stopped) => {
      await using layer = await layers.draft(new UnpackBudget(maxBytes), what);
      for await (const chunk of uncompressed(source, what)) {
        stopped.throwIfAborted();
        await layer.write(chunk);
      }
      stopped.throwIfAborted();
      await layer.commit();
    });
  }
}

/** Suffix of the media type of what may be a layer: a tar, gzip or zstd. undefined for anything else. */
function layerSuffix(start: Buffer): string | undefined {
  const compression = compressionOfBytes(start);
  if (compression === 'gzip' || compression === 'zstd') return `+${compression}`;
  return start.toString('latin1', 257, 262) === 'ustar' ? '' : undefined;
}

function printable(name: string): string {
  return name.slice(0, 200).replace(/[^ -~]/g, '?');
}
