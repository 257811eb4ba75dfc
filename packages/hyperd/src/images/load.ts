import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { type Readable, Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { HyperError, messageOf } from '../errors.ts';
import { asDigest, type Digest } from '../ids.ts';
import {
  type Descriptor,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  MEDIA,
  parseConfig,
  parseIndexOrManifest,
} from '../oci/documents.ts';
import { chainIdOf, checkLayers, choosePlatform, digestOf, type StoredImage } from './image-files.ts';
import { decompressorFor } from './layers/rootfs-builder.ts';
import { type TarEntry, TarScanner } from './layers/tar-scanner.ts';
import { canonical, parseReference, withDefaultTag } from './reference.ts';
import type { ContentStore } from './store/content-store.ts';

const MAX_ENTRIES = 100_000;

export interface LoadedImage {
  readonly image: StoredImage;
  /** Canonical names. */
  readonly names: readonly string[];
}

/**
 * Brings the images of an archive into the store: `docker save` (manifest.json) or an OCI image layout (index.json), plain, gzip or zstd. The archive
 * is kept in a temporary file of at most `maxBytes` meanwhile. Throws `corrupt`, `limit`, `unsupported`, `canceled`.
 */
export async function loadArchive(
  archive: Readable,
  store: ContentStore,
  options: { maxBytes: number; protect: (digest: Digest) => void; signal?: AbortSignal },
): Promise<LoadedImage[]> {
  const work = await mkdtemp(join(store.temporary, 'load-'));
  try {
    const path = join(work, 'archive.tar');
    const entries = await spool(archive, path, options);
    await using file = await open(path, 'r');
    const source = new Archive(entries, file, store, options.protect);
    if (source.has('index.json')) return await loadLayout(source);
    if (source.has('manifest.json')) return await loadDockerArchive(source);
    throw new HyperError(
      'corrupt',
      'load image: the archive has neither index.json (OCI layout) nor manifest.json (docker save)',
    );
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function spool(
  archive: Readable,
  path: string,
  { maxBytes, signal }: { maxBytes: number; signal?: AbortSignal },
): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  const scanner = new TarScanner((entry) => {
    if (entries.length >= MAX_ENTRIES)
      throw new HyperError('limit', `load image: more than ${MAX_ENTRIES} entries`);
    entries.push(entry);
  });
  let size = 0;
  const scan = new Transform({
    transform(chunk: Buffer, _, done: TransformCallback) {
      try {
        size += chunk.length;
        if (size > maxBytes)
          throw new HyperError('limit', `load image: the archive has more than ${maxBytes} bytes`);
        scanner.push(chunk);
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const start = await firstBytes(archive);
  const decompress = decompressorFor(start);
  const target = createWriteStream(path, { mode: 0o600 });
  const abort = signal ? { signal } : {};
  try {
    if (decompress) await pipeline(archive, decompress, scan, target, abort);
    else await pipeline(archive, scan, target, abort);
    scanner.finish();
  } catch (error) {
    if (signal?.aborted) throw new HyperError('canceled', 'load image: canceled', { cause: error });
    if (error instanceof HyperError) throw error;
    throw new HyperError('corrupt', `load image: ${messageOf(error)}`, { cause: error });
  }
  return entries;
}

/** The first bytes of a stream, which are put back. */
async function firstBytes(stream: Readable): Promise<Buffer> {
  const chunk = await new Promise<Buffer | null>((resolve, reject) => {
    const settle = (): void => {
      const bytes = stream.read() as Buffer | null;
      if (bytes === null && !stream.readableEnded) return;
      stream.off('readable', settle);
      stream.off('end', settle);
      stream.off('error', reject);
      resolve(bytes);
    };
    stream.on('readable', settle);
    stream.on('end', settle);
    stream.on('error', reject);
  });
  if (chunk && chunk.length > 0) stream.unshift(chunk);
  return chunk ?? Buffer.alloc(0);
}

/** Random access to an archive's files. */
class Archive {
  readonly #files = new Map<string, TarEntry>();
  readonly #handle: FileHandle;
  readonly store: ContentStore;
  readonly protect: (digest: Digest) => void;

  constructor(
    entries: readonly TarEntry[],
    handle: FileHandle,
    store: ContentStore,
    protect: (digest: Digest) => void,
  ) {
    this.#handle = handle;
    this.store = store;
    this.protect = protect;
    for (const entry of entries) this.#files.set(posix.normalize(entry.name), entry);
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }

  async read(name: string, maxBytes: number): Promise<Buffer> {
    const { dataOffset, sizeBytes } = this.#file(name);
    if (sizeBytes > maxBytes)
      throw new HyperError(
        'limit',
        `load image: ${name} has ${sizeBytes} bytes, at most ${maxBytes} are read`,
      );
    const { buffer } = await this.#handle.read(Buffer.alloc(sizeBytes), 0, sizeBytes, dataOffset);
    return buffer;
  }

  /** Puts a file into the store. Throws `corrupt` when it is not what `digest` says. */
  async keep(name: string, digest: Digest): Promise<void> {
    this.protect(digest);
    if (await this.store.has(digest)) return;
    await using draft = await this.store.draft(digest);
    for await (const chunk of this.#chunks(name)) await draft.append(chunk);
    await draft.commit();
  }

  async digest(name: string): Promise<Digest> {
    const hash = createHash('sha256');
    for await (const chunk of this.#chunks(name)) hash.update(chunk);
    return `sha256:${hash.digest('hex')}` as Digest;
  }

  size(name: string): number {
    return this.#file(name).sizeBytes;
  }

  async *#chunks(name: string): AsyncGenerator<Buffer> {
    const { dataOffset, sizeBytes } = this.#file(name);
    for (let done = 0; done < sizeBytes; ) {
      const want = Math.min(1 << 20, sizeBytes - done);
      const { buffer, bytesRead } = await this.#handle.read(
        Buffer.allocUnsafe(want),
        0,
        want,
        dataOffset + done,
      );
      if (bytesRead === 0) throw new HyperError('corrupt', `load image: ${name} is cut short`);
      yield buffer.subarray(0, bytesRead);
      done += bytesRead;
    }
  }

  #file(name: string): TarEntry {
    let path = posix.normalize(name);
    for (let links = 0; links < 8; links++) {
      const entry = this.#files.get(path);
      if (entry?.type === 'file') return entry;
      if (entry?.type === 'symlink') path = posix.join(posix.dirname(path), entry.linkName);
      else if (entry?.type === 'link') path = posix.normalize(entry.linkName);
      else break;
    }
    throw new HyperError('corrupt', `load image: the archive has no file ${name.slice(0, 200)}`);
  }
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${digest.slice('sha256:'.length)}`;
}

async function loadLayout(archive: Archive): Promise<LoadedImage[]> {
  const document = parseIndexOrManifest(await archive.read('index.json', MAX_MANIFEST_BYTES), 'index.json');
  if (!('index' in document)) throw new HyperError('corrupt', 'load image: index.json is no image index');
  const loaded: LoadedImage[] = [];
  for (const descriptor of document.index.manifests) {
    if (descriptor.annotations?.['vnd.docker.reference.type']) continue; // an attestation, no image
    loaded.push({ image: await loadManifest(archive, descriptor), names: namesOf(descriptor) });
  }
  return loaded;
}

async function loadManifest(archive: Archive, descriptor: Descriptor): Promise<StoredImage> {
  let { digest } = descriptor;
  let bytes = await archive.read(blobName(digest), MAX_MANIFEST_BYTES);
  let document = parseIndexOrManifest(bytes, `manifest ${digest}`);
  if ('index' in document) {
    digest = choosePlatform(document.index, 'load image').digest;
    bytes = await archive.read(blobName(digest), MAX_MANIFEST_BYTES);
    document = parseIndexOrManifest(bytes, `manifest ${digest}`);
  }
  if ('index' in document) throw new HyperError('corrupt', 'load image: an index leads to another index');
  const { manifest } = document;
  await archive.keep(blobName(manifest.config.digest), manifest.config.digest);
  const config = parseConfig(
    await archive.store.read(manifest.config.digest, MAX_CONFIG_BYTES),
    `configuration ${manifest.config.digest}`,
  );
  checkLayers(manifest, config, 'load image');
  for (const layer of manifest.layers) await archive.keep(blobName(layer.digest), layer.digest);
  archive.protect(digest);
  await archive.store.write(digest, bytes);
  return {
    id: manifest.config.digest,
    manifestDigest: digest,
    manifest,
    config,
    chainId: chainIdOf(config.rootfs.diff_ids),
  };
}

function namesOf({ annotations }: Descriptor): string[] {
  const name =
    annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name'];
  return name ? [canonical(withDefaultTag(parseReference(name)))] : [];
}

interface DockerEntry {
  readonly Config: string;
  readonly RepoTags?: readonly string[] | null;
  readonly Layers: readonly string[];
}

async function loadDockerArchive(archive: Archive): Promise<LoadedImage[]> {
  const entries = JSON.parse((await archive.read('manifest.json', MAX_MANIFEST_BYTES)).toString()) as unknown;
  if (!Array.isArray(entries) || !entries.every(isDockerEntry))
    throw new HyperError('corrupt', 'load image: manifest.json is not what "docker save" writes');
  const loaded: LoadedImage[] = [];
  for (const entry of entries) loaded.push(await loadDockerImage(archive, entry));
  return loaded;
}

async function loadDockerImage(archive: Archive, entry: DockerEntry): Promise<LoadedImage> {
  const configBytes = await archive.read(entry.Config, MAX_CONFIG_BYTES);
  const id = digestOf(configBytes);
  const named = asDigest(`sha256:${posix.basename(entry.Config, '.json')}`);
  if (named !== undefined && named !== id)
    throw new HyperError('corrupt', `load image: configuration ${entry.Config} has digest ${id}`);
  const config = parseConfig(configBytes, entry.Config);
  const layers: Descriptor[] = [];
  for (const name of entry.Layers) {
    const digest = await archive.digest(name);
    await archive.keep(name, digest);
    layers.push({ mediaType: MEDIA.ociLayer, digest, size: archive.size(name) });
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    config: { mediaType: MEDIA.ociConfig, digest: id, size: configBytes.length },
    layers,
  };
  checkLayers(manifest, config, 'load image');
  archive.protect(id);
  await archive.store.write(id, configBytes);
  const bytes = Buffer.from(JSON.stringify(manifest));
  const manifestDigest = digestOf(bytes);
  archive.protect(manifestDigest);
  await archive.store.write(manifestDigest, bytes);
  return {
    image: { id, manifestDigest, manifest, config, chainId: chainIdOf(config.rootfs.diff_ids) },
    names: (entry.RepoTags ?? []).map((tag) => canonical(withDefaultTag(parseReference(tag)))),
  };
}

function isDockerEntry(value: unknown): value is DockerEntry {
  const { Config, RepoTags, Layers } = (value ?? {}) as Record<string, unknown>;
  const strings = (list: unknown): boolean =>
    Array.isArray(list) && list.every((item) => typeof item === 'string');
  return typeof Config === 'string' && strings(Layers) && (RepoTags == null || strings(RepoTags));
}
