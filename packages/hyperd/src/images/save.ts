import { HyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import { MEDIA } from '../oci/documents.ts';
import { TAR_END, tarHeader, tarPadding } from '../tar/tar-writer.ts';
import { hexOf } from './digest.ts';
import type { StoredImage } from './image-files.ts';
import { manifestType } from './image-files.ts';
import type { SaveOptions } from './image-service.ts';
import { canonical, familiar, type Reference } from './reference.ts';
import type { ContentStore } from './store/content-store.ts';

/** An image that is to be saved, and the names under which it was asked for. */
export interface SavedImage {
  readonly image: StoredImage;
  readonly references: readonly Reference[];
}

const BLOBS = 'blobs/sha256';

/**
 * A tar of images: an OCI image layout (image-spec, image-layout.md), its blobs as they came; for `docker` with a manifest.json beside, as `docker load` and
 * skopeo's docker-archive read it. The same images give the same bytes. Throws `not-found` when read, for a blob that has gone.
 */
export async function* saveArchive(
  images: readonly SavedImage[],
  store: ContentStore,
  { format, refs = {} }: SaveOptions,
): AsyncGenerator<Buffer> {
  yield directory('blobs');
  yield directory(BLOBS);
  const written = new Set<Digest>();
  for (const { image } of images) {
    for (const digest of [
      image.id,
      ...image.manifest.layers.map((layer) => layer.digest),
      image.manifestDigest,
    ]) {
      if (written.has(digest)) continue;
      written.add(digest);
      yield* blob(digest, store);
    }
  }
  yield* file('index.json', Buffer.from(JSON.stringify(await layoutIndex(images, store, refs))));
  if (format === 'docker') yield* file('manifest.json', Buffer.from(JSON.stringify(images.map(dockerEntry))));
  yield* file('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  yield TAR_END;
}

async function layoutIndex(
  images: readonly SavedImage[],
  store: ContentStore,
  refs: NonNullable<SaveOptions['refs']>,
) {
  const manifests: object[] = [];
  for (const { image, references } of images) {
    const descriptor = {
      ...{ mediaType: manifestType(image.manifest), digest: image.manifestDigest },
      size: await store.sizeBytes(image.manifestDigest),
    };
    if (references.length === 0) manifests.push(descriptor);
    for (const reference of references) {
      const annotations = {
        'io.containerd.image.name': canonical(reference),
        'org.opencontainers.image.ref.name': refs[familiar(reference)] ?? familiar(reference),
      };
      manifests.push({ ...descriptor, annotations });
    }
  }
  return { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests };
}

function dockerEntry({ image, references }: SavedImage): object {
  const path = (digest: Digest): string => `${BLOBS}/${hexOf(digest)}`;
  return {
    Config: path(image.id),
    RepoTags: references.length === 0 ? null : references.map(familiar),
    Layers: image.manifest.layers.map(({ digest }) => path(digest)),
  };
}

async function* blob(digest: Digest, store: ContentStore): AsyncGenerator<Buffer> {
  const sizeBytes = await store.sizeBytes(digest);
  if (sizeBytes === undefined)
    throw new HyperError('corrupt', `save image: blob ${digest} is not in the store; pull the image again`);
  yield header(`${BLOBS}/${hexOf(digest)}`, sizeBytes);
  let left = sizeBytes;
  for await (const chunk of store.stream(digest)) {
    left -= chunk.length;
    yield chunk;
  }
  if (left !== 0) throw new HyperError('corrupt', `save image: blob ${digest} has changed while it was read`);
  yield tarPadding(sizeBytes);
}

function* file(name: string, bytes: Buffer): Generator<Buffer> {
  yield header(name, bytes.length);
  yield bytes;
  yield tarPadding(bytes.length);
}

const NOBODY = {
  ...{ uid: 0, gid: 0, mtime: 0, linkName: '', deviceMajor: 0, deviceMinor: 0 },
  xattrs: new Map<string, string>(),
};

function header(name: string, sizeBytes: number): Buffer {
  return tarHeader({ ...NOBODY, name, type: 'file', mode: 0o644, sizeBytes });
}

function directory(name: string): Buffer {
  return tarHeader({ ...NOBODY, name: `${name}/`, type: 'directory', mode: 0o755, sizeBytes: 0 });
}
