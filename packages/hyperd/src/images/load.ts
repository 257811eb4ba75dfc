import { posix } from 'node:path';
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
import { type ArchiveContext, type ArchiveFiles, withArchive } from './archive-files.ts';
import { chainIdOf, digestOf, hexOf } from './digest.ts';
import { checkIsImage, checkLayers, choosePlatform, HOST_PLATFORM, type StoredImage } from './image-files.ts';
import type { LoadOptions } from './image-service.ts';
import { canonical, parseReference, withDefaultTag } from './reference.ts';

export interface LoadedImage {
  readonly image: StoredImage;
  /** Canonical names. */
  readonly names: readonly string[];
}

export interface LoadContext extends ArchiveContext {
  readonly names: Pick<LoadOptions, 'name' | 'refs'>;
}

/**
 * Brings the images of an archive into the store, in one pass over it: an OCI image layout (index.json) or what `docker save` writes (manifest.json).
 * Throws `corrupt`, `limit`, `unsupported`, `canceled`, `invalid-argument`, `not-found` for a name that the archive does not have.
 */
export async function loadArchive(
  archive: AsyncIterable<Uint8Array>,
  context: LoadContext,
): Promise<LoadedImage[]> {
  return withArchive(archive, context, async (files) => {
    if (files.has('index.json')) return named(await loadLayout(files, context), context.names);
    if (files.has('manifest.json')) return named(await loadDockerArchive(files, context), context.names);
    throw new HyperError(
      'corrupt',
      'load image: the archive has neither index.json (OCI layout) nor manifest.json (docker save)',
    );
  });
}

/** An image of an archive, and what the archive calls it. */
interface ArchivedImage {
  readonly image: StoredImage;
  readonly refs: readonly ArchivedName[];
}

/** A name in all its spellings, the one to go by first. */
type ArchivedName = readonly string[];

/** Gives the images their names: the archive's, or what the caller says. */
function named(images: readonly ArchivedImage[], { name, refs }: LoadContext['names']): LoadedImage[] {
  if (name !== undefined) {
    const [only, ...more] = images;
    if (!only || more.length > 0)
      throw new HyperError(
        'invalid-argument',
        `load image "${name}": the archive has ${images.length} images, want one`,
      );
    return [{ image: only.image, names: [canonicalName(name)] }];
  }
  if (refs === undefined)
    return images.map(({ image, refs: own }) => ({
      image,
      names: own.flatMap(([best = '']) => canonicalOrNone(best)),
    }));
  const loaded = images
    .map(({ image, refs: own }) => ({
      image,
      names: own.flat().flatMap((ref) => (refs[ref] === undefined ? [] : [canonicalName(refs[ref])])),
    }))
    .filter(({ names }) => names.length > 0);
  const known = images.flatMap(({ refs: own }) => own.flat());
  for (const ref of Object.keys(refs))
    if (!known.includes(ref))
      throw new HyperError(
        'not-found',
        `load image: the archive has no "${ref}"; it has ${known.join(', ') || 'no names'}`,
      );
  return loaded;
}

function canonicalName(name: string): string {
  return canonical(withDefaultTag(parseReference(name)));
}

/** What an archive calls an image may be no name for us. */
function canonicalOrNone(ref: string): string[] {
  try {
    return [canonicalName(ref)];
  } catch (error) {
    if (error instanceof HyperError) return [];
    throw error;
  }
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

async function loadLayout(files: ArchiveFiles, context: LoadContext): Promise<ArchivedImage[]> {
  const document = parseIndexOrManifest(await files.read('index.json', MAX_MANIFEST_BYTES), 'index.json');
  if (!('index' in document)) throw new HyperError('corrupt', 'load image: index.json is no image index');
  const loaded = new Map<Digest, { image: StoredImage; refs: ArchivedName[] }>();
  for (const descriptor of document.index.manifests) {
    if (descriptor.annotations?.['vnd.docker.reference.type']) continue; // an attestation, no image
    const known = loaded.get(descriptor.digest);
    if (known) known.refs.push(...refsOf(descriptor));
    else
      loaded.set(descriptor.digest, {
        image: await loadManifest(files, descriptor, context),
        refs: refsOf(descriptor),
      });
  }
  return [...loaded.values()];
}

async function loadManifest(
  files: ArchiveFiles,
  descriptor: Descriptor,
  context: LoadContext,
): Promise<StoredImage> {
  let { digest } = descriptor;
  let bytes = await readBlob(files, digest);
  let document = parseIndexOrManifest(bytes, `manifest ${digest}`);
  if ('index' in document) {
    digest = choosePlatform(document.index, HOST_PLATFORM, 'load image').digest;
    bytes = await readBlob(files, digest);
    document = parseIndexOrManifest(bytes, `manifest ${digest}`);
  }
  if ('index' in document) throw new HyperError('corrupt', 'load image: an index leads to another index');
  const { manifest } = document;
  checkIsImage(manifest, 'load image');
  const configBytes = await readBlob(files, manifest.config.digest);
  const config = parseConfig(configBytes, `configuration ${manifest.config.digest}`);
  checkLayers(manifest, config, 'load image');
  for (const layer of manifest.layers) await files.keep(blobName(layer.digest), layer.digest);
  await put(context, manifest.config.digest, configBytes);
  await put(context, digest, bytes);
  return {
    ...{ id: manifest.config.digest, manifestDigest: digest, manifest, config },
    chainId: chainIdOf(config.rootfs.diff_ids),
  };
}

/** A small blob of the archive, verified. */
async function readBlob(files: ArchiveFiles, digest: Digest): Promise<Buffer> {
  const bytes = await files.read(blobName(digest), MAX_CONFIG_BYTES);
  const got = digestOf(bytes);
  if (got !== digest)
    throw new HyperError('corrupt', `load image: blob ${digest} of the archive has digest ${got}`);
  return bytes;
}

async function put({ store, held }: LoadContext, digest: Digest, bytes: Buffer): Promise<void> {
  await held.hold(digest);
  await store.write(digest, bytes);
}

/** containerd writes the whole name beside the one of the OCI, which may be a tag alone. */
function refsOf({ annotations }: Descriptor): ArchivedName[] {
  const names = [
    annotations?.['io.containerd.image.name'],
    annotations?.['org.opencontainers.image.ref.name'],
  ];
  const given = [...new Set(names.filter((name) => name !== undefined && name !== ''))] as string[];
  return given.length > 0 ? [given] : [];
}

interface DockerEntry {
  readonly Config: string;
  readonly RepoTags?: readonly string[] | null;
  readonly Layers: readonly string[];
}

async function loadDockerArchive(files: ArchiveFiles, context: LoadContext): Promise<ArchivedImage[]> {
  const entries = parseJson(await files.read('manifest.json', MAX_MANIFEST_BYTES));
  if (!Array.isArray(entries) || !entries.every(isDockerEntry))
    throw new HyperError('corrupt', 'load image: manifest.json is not what "docker save" writes');
  const loaded: ArchivedImage[] = [];
  for (const entry of entries)
    loaded.push({
      image: await loadDockerImage(files, entry, context),
      refs: (entry.RepoTags ?? []).map((name) => [name]),
    });
  return loaded;
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw new HyperError('corrupt', `load image: read manifest.json: ${messageOf(error)}`, { cause: error });
  }
}

async function loadDockerImage(
  files: ArchiveFiles,
  entry: DockerEntry,
  context: LoadContext,
): Promise<StoredImage> {
  const configBytes = await files.read(entry.Config, MAX_CONFIG_BYTES);
  const id = digestOf(configBytes);
  const named = asDigest(`sha256:${posix.basename(entry.Config, '.json')}`);
  if (named !== undefined && named !== id)
    throw new HyperError('corrupt', `load image: configuration ${entry.Config} has digest ${id}`);
  const config = parseConfig(configBytes, entry.Config);
  const layers: Descriptor[] = [];
  for (const name of entry.Layers) {
    const { digest, sizeBytes } = files.file(name);
    layers.push({ mediaType: files.layerType(name), digest, size: sizeBytes });
  }
  const manifest = {
    ...{ schemaVersion: 2, mediaType: MEDIA.ociManifest, layers },
    config: { mediaType: MEDIA.ociConfig, digest: id, size: configBytes.length },
  };
  checkLayers(manifest, config, 'load image');
  for (const name of entry.Layers) await files.keep(name, files.file(name).digest);
  const bytes = Buffer.from(JSON.stringify(manifest));
  const manifestDigest = digestOf(bytes);
  await put(context, id, configBytes);
  await put(context, manifestDigest, bytes);
  return { id, manifestDigest, manifest, config, chainId: chainIdOf(config.rootfs.diff_ids) };
}

function isDockerEntry(value: unknown): value is DockerEntry {
  const { Config, RepoTags, Layers } = (value ?? {}) as Record<string, unknown>;
  const strings = (list: unknown): boolean =>
    Array.isArray(list) && list.every((item) => typeof item === 'string');
  return typeof Config === 'string' && strings(Layers) && (RepoTags == null || strings(RepoTags));
}
