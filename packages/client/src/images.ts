import { Readable } from 'node:stream';
import type {
  BuildOptions,
  HistoryStep,
  ImageInfo,
  ImageRemoval,
  ImageSelection,
  ImageTag,
  ImageUsage,
  ImportOptions,
  LoadOptions,
  PruneResult,
  PullOptions,
  RegistryAuth,
  SaveOptions,
  TransferOptions,
} from './image-types.ts';
import { imageTag } from './lists.ts';
import { type ProgressMessage, readProgress } from './progress.ts';
import type { Session } from './session.ts';
import type { Query, Transport } from './transport.ts';

/**
 * The images of a daemon. Calls that take long are generators of progress: the work goes on while they are read, and ends when the reader leaves or
 * `signal` is aborted. They throw ApiError also in the course of it.
 */
export class Images {
  readonly #http: Transport;

  constructor(transport: Transport) {
    this.#http = transport;
  }

  /** Every tag of the images, newest image first. */
  async list(selection: ImageSelection = {}): Promise<ImageTag[]> {
    const query = selectionQuery(selection);
    const { imagesList } = await this.#http.json<{ imagesList: string[] }>('GET', '/images/get', { query });
    return imagesList.map(imageTag);
  }

  /** The images with their place on disk, newest first. */
  async usage(selection: ImageSelection = {}): Promise<ImageUsage[]> {
    const rows = await this.#http.json<UsageRow[]>('GET', '/images/json', {
      query: selectionQuery(selection),
    });
    return rows.map((row) => ({
      ...{ id: row.Id, tags: row.RepoTags, digests: row.RepoDigests, labels: row.Labels },
      createdAt: new Date(row.Created * 1000),
      ...{ sizeBytes: row.Size, sharedBytes: row.SharedSize, uniqueBytes: row.UniqueSize },
    }));
  }

  /** By reference, id or unique prefix of an id, as everywhere. */
  info(image: string): Promise<ImageInfo> {
    return this.#http.json('GET', '/image/info', { query: { imageName: image } });
  }

  /** Newest step first. */
  async history(image: string): Promise<HistoryStep[]> {
    const rows = await this.#http.json<HistoryRow[]>('GET', '/image/history', {
      query: { imageName: image },
    });
    return rows.map((row) => ({
      id: row.Id === '<missing>' ? undefined : row.Id,
      createdAt: new Date(row.Created * 1000),
      ...{ createdBy: row.CreatedBy, tags: row.Tags, sizeBytes: row.Size, comment: row.Comment },
    }));
  }

  /** Gives an image a further name, taking it from the image that has it. */
  tag(image: string, name: string): Promise<void> {
    return this.#http.done('POST', '/image/tag', { query: { imageName: image, target: name } });
  }

  /** Takes a name away, or with an id all of them; the image goes with its last one. Resolves with the steps. */
  async remove(
    image: string,
    options: { readonly force?: boolean; readonly noPrune?: boolean } = {},
  ): Promise<ImageRemoval[]> {
    const query = { imageId: image, force: yesNo(options.force), noprune: yesNo(options.noPrune) };
    const { imagesList } = await this.#http.json<{
      imagesList: { readonly untaged?: string; readonly deleted?: string }[];
    }>('DELETE', '/image', { query });
    return imagesList.map(({ untaged, deleted }) => removal(untaged, deleted));
  }

  /** Removes images without a tag that no container uses; with `all` also those with one. */
  async prune(options: { readonly all?: boolean } = {}): Promise<PruneResult> {
    const { Removed, SpaceReclaimed } = await this.#http.json<{
      readonly Removed: readonly { readonly Untagged?: string; readonly Deleted?: string }[];
      readonly SpaceReclaimed: number;
    }>('POST', '/images/prune', { query: { all: yesNo(options.all) } });
    return {
      removals: Removed.map(({ Untagged, Deleted }) => removal(Untagged, Deleted)),
      reclaimedBytes: SpaceReclaimed,
    };
  }

  /** Pulls an image; with neither tag nor digest in its name, all tags of the repository. */
  async *pull(image: string, options: PullOptions = {}): AsyncGenerator<ProgressMessage> {
    const { auth, platform, signal } = options;
    const call = { query: { imageName: image, platform }, headers: authHeader(auth), signal };
    yield* readProgress(await this.#http.send('POST', '/image/create', call));
  }

  /** Sends an image to the registry that its name gives; without a tag in the name, all tags of the repository. */
  async *push(image: string, { auth, signal }: TransferOptions = {}): AsyncGenerator<ProgressMessage> {
    const call = { query: { remote: image }, headers: authHeader(auth), signal };
    yield* readProgress(await this.#http.send('POST', '/image/push', call));
  }

  /** Loads a `docker save` archive or an OCI layout: a tar, plain or compressed. */
  async *load(archive: Readable, options: LoadOptions = {}): AsyncGenerator<ProgressMessage> {
    const { name, refs, signal } = options;
    const call = {
      query: { name, refs: refs && JSON.stringify(refs) },
      ...{ headers: { 'Content-Type': 'application/x-tar' }, body: archive, signal },
    };
    yield* readProgress(await this.#http.send('POST', '/image/load', call));
  }

  /** Resolves with a tar of the images, to be read to its end or destroyed; it fails where the daemon breaks off. */
  save(images: readonly string[], options: SaveOptions = {}): Promise<Readable> {
    const { format, refs, signal } = options;
    const query = { names: images, format, refs: refs && JSON.stringify(refs) };
    return this.#http.send('GET', '/images/save', { query, signal });
  }

  /** Builds an image of a Dockerfile. The message with `aux` holds the image's id. */
  async *build(options: BuildOptions): AsyncGenerator<ProgressMessage> {
    const { args, labels, auths, cpus, signal } = options;
    const headers: Record<string, string> = { 'Content-Type': 'application/tar' };
    if (auths && Object.keys(auths).length > 0) headers['X-Registry-Config'] = base64Json(auths);
    const secrets = secretsJson(options.secrets);
    if (secrets) headers['X-Build-Secrets-Length'] = `${secrets.length}`;
    const body = secrets
      ? Readable.from(joined(secrets, options.context), { objectMode: false })
      : options.context;
    const query = {
      ...{ t: options.names, remote: options.remote, dockerfile: options.dockerfile, target: options.target },
      ...{ buildargs: args && JSON.stringify(args), labels: labels && JSON.stringify(labels) },
      ...{ platform: options.platform, memory: options.memoryBytes, timeout: options.stepTimeoutSeconds },
      ...{
        nocache: options.noCache || undefined,
        pull: options.pull || undefined,
        q: options.quiet || undefined,
      },
      ...(cpus !== undefined && { cpuperiod: 100_000, cpuquota: Math.ceil(cpus * 100_000) }),
      ...{ keep: options.keepFailed || undefined, buildid: options.id, ssh: options.agents },
      cachefrom: options.cacheFrom?.length ? JSON.stringify(options.cacheFrom) : undefined,
    };
    yield* readProgress(await this.#http.send('POST', '/image/build', { query, headers, body, signal }));
  }

  /**
   * Opens a way to an ssh agent for a build with this id (BuildOptions.id), which names the agent in BuildOptions.agents. What comes out is for the agent, what
   * it answers goes in. To be opened before the build, and the next one as soon as bytes come.
   */
  forwardAgent(build: string, agent: string): Promise<Session> {
    return this.#http.hijack('/build/agent', { query: { buildid: build, ssh: agent }, framed: false });
  }

  /** Forgets what steps of earlier builds have made: what passes the daemon's limits, or all. */
  async pruneBuilds(
    options: { readonly all?: boolean } = {},
  ): Promise<{ readonly steps: number; readonly reclaimedBytes: number }> {
    const { Removed, SpaceReclaimed } = await this.#http.json<{ Removed: number; SpaceReclaimed: number }>(
      'POST',
      '/build/prune',
      { query: { all: yesNo(options.all) } },
    );
    return { steps: Removed, reclaimedBytes: SpaceReclaimed };
  }

  /** Makes an image out of a tar of its root file system, plain or compressed: a stream, or a URL that the daemon reads. Its id is the last status. */
  async *import(source: Readable | string, options: ImportOptions = {}): AsyncGenerator<ProgressMessage> {
    const { reference = '', message, changes = [], signal } = options;
    const [repo, tag] = splitTag(reference);
    const isUrl = typeof source === 'string';
    const call = {
      query: { fromSrc: isUrl ? source : '-', repo, tag, message, changes },
      ...(isUrl ? {} : { headers: { 'Content-Type': 'application/x-tar' }, body: source }),
      signal,
    };
    yield* readProgress(await this.#http.send('POST', '/image/create', call));
  }
}

/** Each secret is base64; undefined: there is none. */
function secretsJson(secrets: BuildOptions['secrets'] = {}): Buffer | undefined {
  const entries = Object.entries(secrets).map(([id, value]) => [id, Buffer.from(value).toString('base64')]);
  return entries.length === 0 ? undefined : Buffer.from(JSON.stringify(Object.fromEntries(entries)));
}

async function* joined(start: Buffer, rest: Readable | undefined): AsyncGenerator<Buffer> {
  yield start;
  if (rest) yield* rest as AsyncIterable<Buffer>;
}

interface UsageRow {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly RepoDigests: readonly string[];
  /** Seconds since the epoch. */
  readonly Created: number;
  readonly Size: number;
  readonly SharedSize: number;
  readonly UniqueSize: number;
  readonly Labels: Readonly<Record<string, string>>;
}

interface HistoryRow {
  readonly Id: string;
  /** Seconds since the epoch. */
  readonly Created: number;
  readonly CreatedBy: string;
  readonly Tags: readonly string[];
  readonly Size: number;
  readonly Comment: string;
}

function selectionQuery({ filter, filters }: ImageSelection): Query {
  return { filter, filters: filters && JSON.stringify(filters) };
}

function authHeader(auth: RegistryAuth | undefined): Readonly<Record<string, string>> {
  if (!auth) return {};
  return { 'X-Registry-Auth': Buffer.from(JSON.stringify(auth)).toString('base64url') };
}

function removal(untagged: string | undefined, deleted: string | undefined): ImageRemoval {
  return untagged === undefined ? { deleted: deleted ?? '' } : { untagged };
}

function yesNo(flag = false): string {
  return flag ? 'yes' : 'no';
}

/** `host:5000/name:tag` to its repository and tag. */
function splitTag(reference: string): [repository: string, tag: string] {
  const colon = reference.lastIndexOf(':');
  return colon > reference.lastIndexOf('/')
    ? [reference.slice(0, colon), reference.slice(colon + 1)]
    : [reference, ''];
}

function base64Json(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
