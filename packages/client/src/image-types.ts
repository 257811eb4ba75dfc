import type { Readable } from 'node:stream';

/** One tag of an image. */
export interface ImageTag {
  readonly repository: string;
  readonly tag: string;
  /** 64 hex digits. */
  readonly id: string;
  readonly createdAt: Date;
  readonly sizeBytes: number;
}

/** What `list` and `usage` show; all of it has to hold. */
export interface ImageSelection {
  /** Name or repository; `*` and `?` stand for any part of a path's element. */
  readonly filter?: string;
  readonly filters?: ImageFilters;
}

export interface ImageFilters {
  /** Globs, one of which has to match. */
  readonly reference?: readonly string[];
  /** `KEY` or `KEY=VALUE` */
  readonly label?: readonly string[];
  /** `true`: images without a tag, `false`: those with one. */
  readonly dangling?: readonly string[];
  /** References of images that have to be newer. */
  readonly before?: readonly string[];
  /** References of images that have to be older. */
  readonly since?: readonly string[];
}

/** An image and its place on the daemon's disk. */
export interface ImageUsage {
  /** `sha256:…` */
  readonly id: string;
  readonly tags: readonly string[];
  /** `REPOSITORY@sha256:…` */
  readonly digests: readonly string[];
  readonly createdAt: Date;
  /** Its layers, uncompressed. */
  readonly sizeBytes: number;
  /** Bytes on disk that other images need as well. */
  readonly sharedBytes: number;
  /** Bytes on disk that would be free without it. */
  readonly uniqueBytes: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** All about an image, in the words of `docker inspect`. */
export interface ImageInfo {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly RepoDigests: readonly string[];
  readonly Created: string;
  readonly Author: string;
  readonly Comment: string;
  readonly Architecture: string;
  readonly Os: string;
  readonly Size: number;
  readonly Config: Readonly<Record<string, unknown>>;
  readonly RootFS: { readonly Type: 'layers'; readonly Layers: readonly string[] };
  readonly ManifestDigest: string;
}

/** A step that an image was made in. */
export interface HistoryStep {
  /** Of the image for its last step, else undefined. */
  readonly id: string | undefined;
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly tags: readonly string[];
  /** Of the step's layer, uncompressed. */
  readonly sizeBytes: number;
  readonly comment: string;
}

/** A step of a removal: a name that was taken away, or the id of an image that was deleted. */
export type ImageRemoval = { readonly untagged: string } | { readonly deleted: string };

export interface PruneResult {
  readonly removals: readonly ImageRemoval[];
  /** Bytes of disk that are free again. */
  readonly reclaimedBytes: number;
}

/** Credentials of a registry, as `docker login` keeps them. */
export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress?: string;
}

export interface TransferOptions {
  readonly auth?: RegistryAuth | undefined;
  /** Ends the transfer; the daemon then leaves its images as they were. */
  readonly signal?: AbortSignal | undefined;
}

export interface PullOptions extends TransferOptions {
  /** `OS/ARCHITECTURE[/VARIANT]` (default: the daemon's). */
  readonly platform?: string | undefined;
}

export interface LoadOptions {
  /** Name for the archive's only image. */
  readonly name?: string | undefined;
  /** Name in the archive to the name that the image gets; other images are left out. */
  readonly refs?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SaveOptions {
  /** `docker`: what `docker load` reads (the default); `oci`: a layout of the OCI. */
  readonly format?: 'docker' | 'oci' | undefined;
  /** Image name to the name that the layout gives it. */
  readonly refs?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ImportOptions {
  /** Name for the image; it has none otherwise. */
  readonly reference?: string | undefined;
  readonly message?: string | undefined;
  /** Dockerfile instructions, such as `CMD ["sh"]`. */
  readonly changes?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BuildOptions {
  /** Chosen by the caller, for `forwardAgent`. */
  readonly id?: string | undefined;
  /** Names of the ssh agents that are forwarded, for `RUN --mount=type=ssh`. */
  readonly agents?: readonly string[] | undefined;
  /** The context: a tar, plain or compressed. */
  readonly context?: Readable | undefined;
  /** In place of a context: a git repository, or the URL of a tar or a Dockerfile. */
  readonly remote?: string | undefined;
  /** Path in the context (default: `Dockerfile`). */
  readonly dockerfile?: string | undefined;
  readonly names?: readonly string[];
  readonly args?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly target?: string | undefined;
  readonly platform?: string | undefined;
  readonly noCache?: boolean;
  /** Images whose steps serve as a cache: they have to be built with the argument BUILDKIT_INLINE_CACHE=1. */
  readonly cacheFrom?: readonly string[] | undefined;
  /** Base images are pulled even where the daemon has them. */
  readonly pull?: boolean;
  /** Nothing but the id is told. */
  readonly quiet?: boolean;
  /** For `RUN --mount=type=secret`, by id; at most 3 MB together. */
  readonly secrets?: Readonly<Record<string, Uint8Array>> | undefined;
  /** Credentials by registry. */
  readonly auths?: Readonly<Record<string, RegistryAuth>> | undefined;
  readonly memoryBytes?: number | undefined;
  readonly cpus?: number | undefined;
  readonly stepTimeoutSeconds?: number | undefined;
  /** What a failed step has left becomes an image. */
  readonly keepFailed?: boolean;
  readonly signal?: AbortSignal | undefined;
}
