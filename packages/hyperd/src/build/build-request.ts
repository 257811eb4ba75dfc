import type { RegistryAuth } from '../images/image-service.ts';

export interface BuildRequest {
  /** Chosen by the client: what it forwards refers to it. */
  readonly id?: string | undefined;
  /** The context, a tar, plain or compressed; empty where `remote` says where it is. */
  readonly body: AsyncIterable<Uint8Array>;
  /** A git repository, or the URL of a tar or a Dockerfile. */
  readonly remote?: string | undefined;
  /** Path of the Dockerfile in the context (default: `Dockerfile`). */
  readonly dockerfile?: string | undefined;
  readonly names: readonly string[];
  readonly args: ReadonlyMap<string, string>;
  readonly labels: Readonly<Record<string, string>>;
  readonly target?: string | undefined;
  readonly platform?: string | undefined;
  readonly noCache: boolean;
  /** Images whose steps serve as a cache, where they tell of them. */
  readonly cacheFrom: readonly string[];
  /** Base images are pulled even where they are there. */
  readonly pull: boolean;
  /** Nothing but the id is told. */
  readonly quiet: boolean;
  readonly secrets: ReadonlyMap<string, Buffer>;
  /** Names of the ssh agents that the client forwards. */
  readonly agents: readonly string[];
  /** Credentials by registry. */
  readonly auths: ReadonlyMap<string, RegistryAuth>;
  readonly memoryBytes?: number | undefined;
  readonly vcpus?: number | undefined;
  readonly stepTimeoutMs?: number | undefined;
  readonly keepFailed: boolean;
}
