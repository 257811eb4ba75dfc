import { HyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  type Manifest,
  MEDIA,
  parseConfig,
  parseIndexOrManifest,
} from '../oci/documents.ts';
import { chainIdOf } from './digest.ts';
import type { ContentStore } from './store/content-store.ts';

/** An image whose manifest, configuration and layers are in the content store. */
export interface StoredImage {
  readonly id: Digest;
  readonly manifestDigest: Digest;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  readonly chainId: Digest;
}

/** What an image has in the content store: its configuration, manifest and layers. */
export function blobsOf({ id, manifestDigest, manifest }: StoredImage): Digest[] {
  return [id, manifestDigest, ...manifest.layers.map(({ digest }) => digest)];
}

const CONFIG_TYPES: readonly string[] = [MEDIA.ociConfig, MEDIA.dockerConfig, 'application/octet-stream'];
/** Of OCI and Docker; an encrypted layer is not for us. */
const LAYER_TYPE = /[.+]tar(?:[.+](?:gzip|zstd))?$/;
const KERNEL_NAMES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  i386: '386',
  i686: '386',
};
const LEAST_VARIANTS: Readonly<Record<string, string>> = { arm64: 'v8', amd64: 'v1' };
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** What an image is made for (OCI image-spec, image-index.md). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

export const HOST_PLATFORM: Platform = {
  ...{ os: 'linux', architecture: ARCHITECTURES[process.arch] ?? process.arch, variant: undefined },
};

/** `linux/arm64`, `linux/arm/v7`; kernels' names for architectures as well. Throws `invalid-argument`. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...more] = text.toLowerCase().split('/');
  if (!os || !architecture || more.length > 0 || !/^[\w.-]+(\/[\w.-]+){1,2}$/.test(text))
    throw new HyperError(
      'invalid-argument',
      `read platform "${text.slice(0, 100)}": want OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT`,
    );
  return { os, architecture: KERNEL_NAMES[architecture] ?? architecture, variant };
}

/** Whether something made for `offered` is what is wanted. A variant that every processor of the architecture has may be left out. */
function fits(
  offered: {
    readonly os?: string | null;
    readonly architecture?: string | null;
    readonly variant?: string | null;
  },
  wanted: Platform,
): boolean {
  const least = LEAST_VARIANTS[wanted.architecture];
  return (
    offered.os === wanted.os &&
    offered.architecture === wanted.architecture &&
    (wanted.variant === undefined || (offered.variant || least) === wanted.variant)
  );
}

/** Refuses an image that is for another platform than was asked for; one that does not tell is believed. Throws `not-found`. */
export function checkPlatform({ os, architecture }: ImageConfig, wanted: Platform, what: string): void {
  if (!os || !architecture || fits({ os, architecture, variant: wanted.variant ?? null }, wanted)) return;
  throw new HyperError(
    'not-found',
    `${what}: it is for ${platformText({ os, architecture })}, not for ${platformText(wanted)}`,
  );
}

function platformText({
  os,
  architecture,
  variant,
}: {
  os?: string;
  architecture?: string;
  variant?: string | null | undefined;
}): string {
  return `${os}/${architecture}${variant ? `/${variant}` : ''}`;
}

/** The index's manifest for a platform. Throws `not-found`, naming what there is. */
export function choosePlatform({ manifests }: Index, wanted: Platform, what: string): Descriptor {
  const fitting = manifests.filter(({ platform }) => platform && fits(platform, wanted));
  const plain = fitting.find(({ platform }) => !platform?.variant) ?? fitting[0];
  const [only] = manifests;
  const chosen = plain ?? (manifests.length === 1 && !only?.platform ? only : undefined);
  if (chosen) return chosen;
  const offered = manifests
    .filter(({ platform }) => platform && platform.os !== 'unknown') // attestations
    .map(({ platform }) => platformText(platform ?? {}));
  throw new HyperError(
    'not-found',
    `${what}: no manifest for ${platformText(wanted)}; there are: ${offered.join(', ') || 'none'}`,
  );
}

/** Refuses what is no image, such as a chart or a signature. Throws `unsupported`. */
export function checkIsImage({ config }: Manifest, what: string): void {
  const type = config.mediaType ?? '';
  if (type === '' || CONFIG_TYPES.includes(type)) return;
  throw new HyperError(
    'unsupported',
    `${what}: it is no image: its configuration is of type "${type.slice(0, 200)}"`,
  );
}

/** Refuses layers that this store cannot hold. Throws `unsupported`, `corrupt`. */
export function checkLayers({ layers }: Manifest, { rootfs }: ImageConfig, what: string): void {
  for (const { mediaType, digest } of layers) {
    if (/foreign|nondistributable/.test(mediaType ?? ''))
      throw new HyperError(
        'unsupported',
        `${what}: layer ${digest} is of type ${mediaType}, which registries do not hold`,
      );
    if (mediaType && !LAYER_TYPE.test(mediaType))
      throw new HyperError('unsupported', `${what}: layer ${digest} is of type ${mediaType}, want a tar`);
  }
  if (layers.length !== rootfs.diff_ids.length)
    throw new HyperError(
      'corrupt',
      `${what}: its manifest has ${layers.length} layers, its configuration ${rootfs.diff_ids.length}`,
    );
}

/** The media type under which a manifest travels; those without one are OCI's. */
export function manifestType({ mediaType, config }: Manifest): string {
  return mediaType || (config.mediaType === MEDIA.dockerConfig ? MEDIA.dockerManifest : MEDIA.ociManifest);
}

/** Reads an image back from the store. Throws `corrupt` when its files are damaged or gone. */
export async function readStoredImage(store: ContentStore, manifestDigest: Digest): Promise<StoredImage> {
  const what = `manifest ${manifestDigest}`;
  const document = parseIndexOrManifest(await store.read(manifestDigest, MAX_MANIFEST_BYTES), what);
  if (!('manifest' in document)) throw new HyperError('corrupt', `read ${what}: it is an index`);
  const { manifest } = document;
  const { digest } = manifest.config;
  const config = parseConfig(await store.read(digest, MAX_CONFIG_BYTES), `configuration ${digest}`);
  return { id: digest, manifestDigest, manifest, config, chainId: chainIdOf(config.rootfs.diff_ids) };
}
