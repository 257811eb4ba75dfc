import type { Readable } from 'node:stream';
import type { Digest } from '../ids.ts';
import type { ResolvedImage } from '../oci/image-config.ts';
import type { Ailment } from '../upkeep/index.ts';
import type { ImageAssembly } from './assembly/assembly.ts';

export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
  readonly serverAddress?: string;
}

/** One message of Docker's progress stream, before it is written as JSON. */
export interface ProgressMessage {
  readonly status?: string;
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly stream?: string;
  /** What a program wants to know of the result: `{ID}` of a load or build, `{Tag, Digest, Size}` of a push. */
  readonly aux?: Readonly<Record<string, string | number>>;
}
export type ProgressListener = (message: ProgressMessage) => void;

/** What every long call takes. */
export interface TransferOptions {
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

export interface PullOptions extends TransferOptions {
  readonly auth?: RegistryAuth;
  /** `linux/arm64`, `linux/arm/v7`; this host's where missing. */
  readonly platform?: string;
}

export interface ImageSummary {
  readonly id: Digest;
  /** Familiar form: `busybox:latest`, `localhost:5000/debian:12`. */
  readonly tags: readonly string[];
  /** Familiar form: `busybox@sha256:…` */
  readonly digests: readonly string[];
  readonly createdAt: Date;
  /** Its layers, uncompressed. */
  readonly sizeBytes: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** A summary with what the image's place on this host's disk is made of. */
export interface ImageUsage extends ImageSummary {
  /** Bytes on disk that other images need as well. */
  readonly sharedBytes: number;
  /** Bytes on disk that would be free without this image. */
  readonly uniqueBytes: number;
}

export interface HistoryEntry {
  /** Of the image for its last step; further steps have none. */
  readonly id: Digest | undefined;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly comment: string;
  /** Names of the image, for its last step. */
  readonly tags: readonly string[];
  /** Of the step's layer, uncompressed. */
  readonly sizeBytes: number;
}

export interface ImageDetails extends ImageSummary {
  readonly architecture: string;
  readonly os: string;
  readonly author: string;
  readonly comment: string;
  /** The `config` member of the image's configuration, as it is (OCI image-spec, config.md). */
  readonly config: Readonly<Record<string, unknown>>;
  /** Digests of the uncompressed layers, bottom first. */
  readonly diffIds: readonly Digest[];
  readonly manifestDigest: Digest;
}

/** One step of a removal, in order. */
export type Removal = { readonly untagged: string } | { readonly deleted: Digest };

/** A container that uses an image. */
export interface ImageUser {
  readonly container: string;
  readonly isRunning: boolean;
}
export type ImageUsers = (id: Digest) => readonly ImageUser[];

/** A rootfs image that stays on disk until released. */
export interface RootfsLease extends Disposable {
  readonly path: string;
  /** How the machine reads it: `vmdk` is a descriptor of extents. */
  readonly format: 'raw' | 'vmdk';
}

export interface SaveOptions {
  /** `docker`: what `docker load` and skopeo's docker-archive read; it is an OCI layout as well. */
  readonly format: 'docker' | 'oci';
  /** Image name to the name that the layout gives it. */
  readonly refs?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface LoadOptions extends TransferOptions {
  /** Name in the archive to the name that the image gets; others of the archive are left out. */
  readonly refs?: Readonly<Record<string, string>>;
  /** Name for the archive's only image. */
  readonly name?: string;
}

export interface ImportOptions extends TransferOptions {
  /** Name for the image; it has none otherwise. */
  readonly reference?: string;
  readonly message?: string;
  /** Dockerfile instructions: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR. */
  readonly changes?: readonly string[];
}

export interface PruneResult {
  readonly removals: readonly Removal[];
  /** Bytes of disk that are free again. */
  readonly reclaimedBytes: number;
}

/** Bytes of disk. */
export interface ImagesUsage {
  readonly images: number;
  /** Compressed layers, manifests and configurations. */
  readonly blobBytes: number;
  /** Layers as machines read them. */
  readonly rootfsBytes: number;
}

/**
 * The images of one daemon: content store, registries, rootfs images. All calls reject with HyperError: `not-found`
 * (`No such image: NAME:TAG`), `unauthorized`, `unavailable`, `corrupt`, `limit`, `conflict`, `canceled`, `invalid-argument`.
 */
export interface ImageService extends AsyncDisposable {
  /** By reference (Docker's rules), image id, or unique prefix of an id. */
  resolve(reference: string): Promise<ResolvedImage>;
  /** The image's layers as one file system image, made when missing; `signal` stops waiting for it. */
  rootfs(id: Digest, signal?: AbortSignal): Promise<RootfsLease>;
  pull(reference: string, options?: PullOptions): Promise<ResolvedImage>;
  /** Pulls every tag of a repository; stops at the first that fails. Resolves with their number. */
  pullAll(repository: string, options?: PullOptions): Promise<number>;
  /** Sends an image of this host to the registry that its name gives. Resolves with the manifest's digest. */
  push(reference: string, options?: PullOptions): Promise<Digest>;
  /** A tar stream of images. Rejects before its first byte where an image is not there. */
  save(references: readonly string[], options: SaveOptions): Promise<Readable>;
  /** A `docker save` archive or an OCI layout, as a tar stream, plain, gzip or zstd. Resolves with what it held. */
  load(archive: Readable, options?: LoadOptions): Promise<ImageSummary[]>;
  /** Makes an image of one layer out of a tar stream, plain, gzip or zstd. */
  import(layer: Readable, options?: ImportOptions): Promise<Digest>;
  /** As `import`, from an http(s) URL. */
  importUrl(url: string, options?: ImportOptions): Promise<Digest>;
  /** For putting images together out of layers. */
  assemble(): ImageAssembly;
  /** Asks a registry whether it takes the credentials. Resolves with its words; rejects `unauthorized`. */
  login(auth: RegistryAuth, signal?: AbortSignal): Promise<string>;
  tag(source: string, target: string): Promise<void>;
  list(): Promise<ImageSummary[]>;
  listUsage(): Promise<ImageUsage[]>;
  inspect(reference: string): Promise<ImageDetails>;
  /** Newest step first. */
  history(reference: string): Promise<HistoryEntry[]>;
  /**
   * Takes a name away, and the image with its last one. An image of a running container is never removed; one of a stopped container loses its names
   * with `force`, and is left for a prune.
   */
  remove(
    reference: string,
    options: { readonly force: boolean; readonly users: ImageUsers },
  ): Promise<Removal[]>;
  /** Removes images without a tag, or with `all` every image, that no container uses. */
  prune(options: { readonly all: boolean; readonly users: ImageUsers }): Promise<PruneResult>;
  /** Has this called, and waited for, before the files of a removed image go: whoever holds them lets go. */
  onRemove(release: (id: Digest) => Promise<void>): void;
  usage(): Promise<ImagesUsage>;
  /** Removes what no image needs: blobs, layers, rootfs images. Safe beside everything else. */
  collectGarbage(): Promise<void>;
  /** What of images is missing or damaged; `verify`: every byte is read. */
  examine(options: { readonly verify: boolean }): Promise<Ailment[]>;
}
