import type { Readable } from 'node:stream';
import type { Digest } from '../ids.ts';
import type { ResolvedImage } from '../oci/image-config.ts';

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
}
export type ProgressListener = (message: ProgressMessage) => void;

export interface PullOptions {
  readonly auth?: RegistryAuth;
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

export interface ImageSummary {
  readonly id: Digest;
  /** Familiar form: `busybox:latest`, `localhost:5000/debian:12`. */
  readonly tags: readonly string[];
  /** Familiar form: `busybox@sha256:…` */
  readonly digests: readonly string[];
  readonly createdAt: Date;
  readonly sizeBytes: number;
}

/** One step of a removal, in order. */
export type Removal = { readonly untagged: string } | { readonly deleted: Digest };

/** A rootfs image that stays on disk until released. */
export interface RootfsLease extends Disposable {
  /** Read-only file system image (squashfs). */
  readonly path: string;
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
  /** A `docker save` archive or an OCI layout, as a tar stream, plain, gzip or zstd. Resolves with what it held. */
  load(
    archive: Readable,
    options?: { onProgress?: ProgressListener; signal?: AbortSignal },
  ): Promise<ImageSummary[]>;
  list(): Promise<ImageSummary[]>;
  /** `inUse` tells which containers use an image: it is not deleted then, whatever `force` says of its other tags. */
  remove(
    reference: string,
    options: { readonly force: boolean; readonly inUse: (id: Digest) => readonly string[] },
  ): Promise<Removal[]>;
  /** Removes what no image needs: blobs, rootfs images, temporary files of a crash. Safe beside everything else. */
  collectGarbage(): Promise<void>;
}
