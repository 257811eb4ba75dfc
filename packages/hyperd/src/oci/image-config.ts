import type { Digest } from '../ids.ts';

/** The part of an image's configuration that running it needs (OCI image-spec, config.md), checked and with defaults filled in. */
export interface ImageRunConfig {
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly volumes: readonly string[];
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string;
}

export interface ResolvedImage {
  /** Digest of the image configuration: what Docker calls the image id. */
  readonly id: Digest;
  readonly run: ImageRunConfig;
}
