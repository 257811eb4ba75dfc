import type { Digest } from '../../ids.ts';
import type { RegistryAuth } from '../image-service.ts';
import type { Reference } from '../reference.ts';

/** Where registries are and how they may be spoken to. */
export interface RegistryOptions {
  /** Hosts, with port, that may be spoken to over plain HTTP or with a certificate that nobody vouches for; loopback always may over HTTP. */
  readonly insecureRegistries: readonly string[];
  /** Asked before the registry itself, in order: `https://mirror.example` stands for Docker's registry, `registry.example=https://mirror` for another. */
  readonly mirrors: readonly string[];
  /** Each may have a directory `HOST:PORT` with `*.crt` (authorities) and `NAME.cert` + `NAME.key` (client certificates). */
  readonly certsDirectories: readonly string[];
  /** Proxies are read from here (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, in either case). */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Where the body of a blob goes. */
export interface BlobSink {
  /** Bytes that are there already: a transfer that was cut goes on behind them. */
  readonly sizeBytes: number;
  append(chunk: Uint8Array): Promise<void>;
  /** Back to nothing, for a transfer that has to start over. */
  reset(): Promise<void>;
}

/** Told before a request is tried again: in how many ms, and why the last try failed. */
export type RetryListener = (delayMs: number, reason: string) => void;

export interface RegistryCall {
  readonly auth?: RegistryAuth | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onRetry?: RetryListener | undefined;
}

export interface ManifestAnswer {
  readonly bytes: Buffer;
  readonly mediaType: string;
  /** As the registry announces it; not verified. */
  readonly digest: Digest | undefined;
}

/** Blobs that a push offers. */
export interface BlobSource {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** The blob's bytes from an offset on. */
  read(fromByte: number): AsyncIterable<Uint8Array>;
}

/**
 * One repository of a registry (OCI distribution-spec v1.1). Calls reject with `not-found`, `unauthorized`, `forbidden`, `unavailable`, `corrupt`,
 * `limit`, `canceled`; the message names the manifest or blob and the repository.
 */
export interface Repository {
  /** By tag or digest, from a mirror where there is one that has it. */
  manifest(tagOrDigest: string): Promise<ManifestAnswer>;
  /** A blob of known size into `sink`; what a cut connection has brought is kept. The digest is the sink's to verify. */
  blob(digest: Digest, sizeBytes: number, sink: BlobSink, onRetry?: RetryListener): Promise<void>;
  /** All tags, of all pages. */
  tags(): Promise<string[]>;
  hasBlob(digest: Digest): Promise<boolean>;
  /** Asks the registry to take the blob from another of its repositories. False: it has to be uploaded. */
  mountBlob(digest: Digest, fromRepository: string): Promise<boolean>;
  /** Uploads in one request or in chunks, going on where a cut connection left off. `onBytes`: how many have been sent. */
  uploadBlob(source: BlobSource, onBytes: (sent: number) => void, onRetry?: RetryListener): Promise<void>;
  putManifest(tagOrDigest: string, bytes: Buffer, mediaType: string): Promise<void>;
}

/** All registries of a daemon: connections, tokens and certificates are shared by its calls. Made once, disposed by its maker. */
export interface RegistryClient extends AsyncDisposable {
  repository(reference: Reference, call: RegistryCall): Repository;
  /** Asks the registry (`serverAddress`: host or URL; Docker's where missing) whether it takes the credentials. Rejects `unauthorized`. */
  checkLogin(auth: RegistryAuth, signal?: AbortSignal): Promise<void>;
}
