import { createHash } from 'node:crypto';
import { access, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  type Manifest,
  parseConfig,
  parseIndexOrManifest,
} from '../oci/documents.ts';
import { buildRootfs } from './layers/rootfs-builder.ts';
import { SingleFlight } from './single-flight.ts';
import type { ContentStore } from './store/content-store.ts';

/** An image whose manifest, configuration and layers are in the content store. */
export interface StoredImage {
  readonly id: Digest;
  readonly manifestDigest: Digest;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  readonly chainId: Digest;
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
export const ARCHITECTURE = ARCHITECTURES[process.arch] ?? process.arch;

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
}

/** Identifies a stack of layers (OCI image-spec, config.md, "Layer ChainID"). */
export function chainIdOf(diffIds: readonly Digest[]): Digest {
  const [first, ...rest] = diffIds;
  return rest.reduce(
    (chain, diffId) => digestOf(Buffer.from(`${chain} ${diffId}`)),
    first ?? digestOf(Buffer.alloc(0)),
  );
}

/** The index's manifest for this host. Throws `not-found`, naming what there is. */
export function choosePlatform({ manifests }: Index, what: string): Descriptor {
  const fitting = manifests.filter(
    ({ platform }) => platform?.os === 'linux' && platform.architecture === ARCHITECTURE,
  );
  const plain = fitting.find(({ platform }) => !platform?.variant) ?? fitting[0];
  const [only] = manifests;
  const chosen = plain ?? (manifests.length === 1 && !only?.platform ? only : undefined);
  if (chosen) return chosen;
  const offered = manifests.map(({ platform }) => `${platform?.os}/${platform?.architecture}`).join(', ');
  throw new HyperError(
    'not-found',
    `${what}: no manifest for linux/${ARCHITECTURE}; there are: ${offered || 'none'}`,
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
    if (mediaType && !/\btar\b/.test(mediaType))
      throw new HyperError('unsupported', `${what}: layer ${digest} is of type ${mediaType}, want a tar`);
  }
  if (layers.length !== rootfs.diff_ids.length)
    throw new HyperError(
      'corrupt',
      `${what}: its manifest has ${layers.length} layers, its configuration ${rootfs.diff_ids.length}`,
    );
}

/** Rootfs images of layer chains: made once, kept while a lease or an image needs them. */
export class RootfsImages {
  readonly #directory: string;
  readonly #store: ContentStore;
  readonly #maxBytes: number;
  readonly #flights = new SingleFlight<Digest, number | undefined>();
  readonly #leases = new Map<Digest, number>();

  constructor(directory: string, store: ContentStore, maxBytes: number) {
    this.#directory = directory;
    this.#store = store;
    this.#maxBytes = maxBytes;
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
  }

  /** Makes the image's rootfs unless it is there. Resolves with the layers' uncompressed bytes when it made it. */
  ensure(
    image: StoredImage,
    signal?: AbortSignal,
    onLayer?: (digest: Digest) => void,
  ): Promise<number | undefined> {
    const path = this.#path(image.chainId);
    return this.#flights.run(image.chainId, signal, async (shared) => {
      if (await exists(path)) return undefined;
      return buildRootfs({
        layers: image.manifest.layers.map(({ digest }, index) => ({
          ...{ path: this.#store.path(digest), digest },
          diffId: image.config.rootfs.diff_ids[index] as Digest,
        })),
        ...{ path, temporary: this.#store.temporary, maxBytes: this.#maxBytes, signal: shared },
        ...(onLayer && { onLayer }),
      });
    });
  }

  lease(chainId: Digest): { readonly path: string; [Symbol.dispose](): void } {
    this.#leases.set(chainId, (this.#leases.get(chainId) ?? 0) + 1);
    let held = true;
    return {
      path: this.#path(chainId),
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const left = (this.#leases.get(chainId) ?? 1) - 1;
        if (left === 0) this.#leases.delete(chainId);
        else this.#leases.set(chainId, left);
      },
    };
  }

  /** Removes what neither `needed` nor a lease nor a running making holds. */
  async removeOthers(needed: ReadonlySet<Digest>): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const chainId = `sha256:${name.replace(/\.sqfs$/, '')}` as Digest;
      if (needed.has(chainId) || this.#leases.has(chainId) || this.#flights.has(chainId)) continue;
      await rm(join(this.#directory, name), { force: true });
    }
  }

  #path(chainId: Digest): string {
    return join(this.#directory, `${chainId.slice('sha256:'.length)}.sqfs`);
  }
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

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
