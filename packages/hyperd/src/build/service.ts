import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, isHyperError, messageOf } from '../errors.ts';
import { toldOf } from '../host-failure.ts';
import type { Digest, PodId } from '../ids.ts';
import type { BaseImage, ImageAssembly } from '../images/assembly/assembly.ts';
import { parsePlatform } from '../images/image-files.ts';
import type { ImageService, RegistryAuth } from '../images/image-service.ts';
import { parseReference } from '../images/reference.ts';
import type { Logger } from '../logger.ts';
import type { MachineService, MachineShape } from '../machines/machine.ts';
import type { ScratchDisks } from '../machines/scratch-disk.ts';
import { type Ailment, entriesOf } from '../upkeep/index.ts';
import { type AgentSession, AgentSessions } from './agent-sessions.ts';
import { Build } from './build.ts';
import { BuildOutput, type Emit } from './build-output.ts';
import type { BuildRequest } from './build-request.ts';
import type { MadeStep } from './build-scope.ts';
import type { BuildCache, CacheLimits } from './cache.ts';
import { CacheDisks } from './cache-disks.ts';
import { INLINE_CACHE_ARG, inlineCacheOf } from './inline-cache.ts';
import { openContext } from './open-context.ts';
import { planBuild } from './plan.ts';

const DEFAULT_SHAPE: MachineShape = { vcpus: 1, memoryMib: 512 };
const DEFAULT_STEP_TIMEOUT_MS = 3_600_000;
const MIB = 1024 * 1024;
const MIN_MEMORY_MIB = 32;
const MAX_VCPUS = 64;
/** What the cache may hold, where nobody says otherwise. */
export const DEFAULT_CACHE_LIMITS: CacheLimits = { maxBytes: 10 * 1024 ** 3, maxAgeMs: 30 * 86_400_000 };

export interface BuildServiceOptions {
  readonly root: string;
  readonly images: ImageService;
  readonly machines: MachineService;
  readonly scratch: ScratchDisks;
  readonly cache: BuildCache;
  readonly logger: Logger;
  readonly cacheLimits?: CacheLimits;
}

export interface PruneBuildsResult {
  readonly steps: number;
  readonly reclaimedBytes: number;
}

/** Builds images out of Dockerfiles. Disposing ends the builds that run. */
export interface BuildService extends AsyncDisposable {
  /**
   * Resolves with the image's id. Rejects `invalid-argument` for what is wrong with the request, the context or the Dockerfile, `precondition` for a step that
   * fails, `not-found`, `unauthorized`, `unavailable`, `limit`, `canceled`, `machine`.
   */
  build(request: BuildRequest, emit: Emit, signal: AbortSignal): Promise<Digest>;
  /**
   * Takes a client's session that leads to the ssh agent `agent`, for the build that has this id; it may be opened before the build. Resolves when the session
   * is over. Rejects `not-found` where the build does not begin, `limit`.
   */
  forwardAgent(build: string, agent: string, session: AgentSession): Promise<void>;
  /** Forgets steps of earlier builds: all, or what passes the limits; and caches of RUN with `all`. */
  prune(options: { readonly all: boolean } & Partial<CacheLimits>): Promise<PruneBuildsResult>;
  usage(): { readonly steps: number; readonly bytes: number };
  /** What builds have left on the host. */
  examine(): Promise<Ailment[]>;
}

/** Opens the builder below `root`; what builds of an earlier daemon have left is removed. */
export async function createBuildService(options: BuildServiceOptions): Promise<BuildService> {
  const directory = join(options.root, 'builds');
  const caches = new CacheDisks(join(directory, 'caches'), options.scratch);
  await mkdir(join(directory, 'caches'), { recursive: true, mode: 0o700 });
  for (const name of await readdir(directory))
    if (name !== 'caches') await rm(join(directory, name), { recursive: true, force: true });
  return new Builds(options, directory, caches);
}

class Builds implements BuildService {
  readonly #options: BuildServiceOptions;
  readonly #directory: string;
  readonly #caches: CacheDisks;
  readonly #agents = new AgentSessions();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  /** Of the builds that run. */
  readonly #directories = new Set<string>();

  constructor(options: BuildServiceOptions, directory: string, caches: CacheDisks) {
    this.#options = options;
    this.#directory = directory;
    this.#caches = caches;
  }

  async build(request: BuildRequest, emit: Emit, signal: AbortSignal): Promise<Digest> {
    const work = this.#build(request, emit, AbortSignal.any([signal, this.#closing.signal]));
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  forwardAgent(build: string, agent: string, session: AgentSession): Promise<void> {
    return this.#agents.offer(build, agent, session);
  }

  async prune({
    all,
    ...limits
  }: { readonly all: boolean } & Partial<CacheLimits>): Promise<PruneBuildsResult> {
    const { cache, images } = this.#options;
    const before = await this.#diskBytes();
    const steps = cache.prune(all ? { maxBytes: 0, maxAgeMs: 0 } : { ...this.#limits, ...limits });
    if (all) await this.#caches.prune();
    await images.collectGarbage();
    return { steps, reclaimedBytes: Math.max(0, before - (await this.#diskBytes())) };
  }

  usage(): { readonly steps: number; readonly bytes: number } {
    return this.#options.cache.usage();
  }

  async examine(): Promise<Ailment[]> {
    const found: Ailment[] = [];
    for (const name of await entriesOf(this.#directory)) {
      const path = join(this.#directory, name);
      if (name === 'caches' || this.#directories.has(path)) continue;
      found.push({
        problem: `the directory ${path} is of a build that has ended`,
        remedy: 'it is removed',
        mend: () => rm(path, { recursive: true, force: true }),
      });
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#running);
  }

  async #build(request: BuildRequest, emit: Emit, signal: AbortSignal): Promise<Digest> {
    for (const name of [...request.names, ...request.cacheFrom]) parseReference(name); // refused before anything is done
    if (request.platform) parsePlatform(request.platform);
    const shape = shapeOf(request);
    const epoch = epochOf(request.args);
    const id = randomUUID();
    const agentsOf = request.id ?? id;
    using _agents = this.#agents.begin(agentsOf);
    const directory = join(this.#directory, id);
    const tell: Emit = request.quiet ? () => Promise.resolve() : emit;
    const { images, machines, scratch, cache } = this.#options;
    const assembly = images.assemble();
    this.#directories.add(directory);
    try {
      await mkdir(directory, { mode: 0o700 });
      const { dockerfile, context } = await openContext(request, { assembly, directory, signal });
      const plan = planBuild(dockerfile, request);
      const output = new BuildOutput(tell, plan.needed);
      const { noCache, args, secrets, keepFailed } = request;
      const cachedElsewhere = await this.#cachedElsewhere(assembly, request, { tell, signal });
      const build = new Build(
        {
          cachedElsewhere,
          ...{ assembly, plan, output, cache, context, epoch, signal, directory },
          ...{ noCache, args, secrets, keepFailed },
          agents: {
            ids: request.agents,
            serve: (agent, connection) => this.#agents.serve(agentsOf, agent, connection),
          },
          stepTimeoutMs: request.stepTimeoutMs ?? DEFAULT_STEP_TIMEOUT_MS,
          cacheDisk: (key, sharing) => this.#caches.acquire(key, sharing, signal),
          image: (reference, platform) =>
            this.#image(assembly, reference, platform, request, { tell, signal }),
        },
        { machines, scratch, shape, owner: `buildpod-${id.slice(0, 8)}` as PodId },
      );
      const { document, layers } = await build.run().finally(() => output.flush());
      await this.#warnOfUnused(request.args, build.usedArgs, plan.globals, tell);
      const image = await assembly.finish(withLabels(document, request.labels), layers, request.names);
      await this.#tellResult(image, request, emit);
      return image;
    } catch (error) {
      throw this.#errorOf(error, signal);
    } finally {
      await assembly[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
      this.#directories.delete(directory);
      void this.#tidy();
    }
  }

  /** What the images of `--cache-from` have to offer. One that cannot be had only costs time. */
  async #cachedElsewhere(
    assembly: ImageAssembly,
    request: BuildRequest,
    told: { readonly tell: Emit; readonly signal: AbortSignal },
  ): Promise<ReadonlyMap<string, MadeStep>> {
    const steps = new Map<string, MadeStep>();
    for (const reference of request.noCache ? [] : request.cacheFrom) {
      try {
        const image = await this.#image(assembly, reference, undefined, request, told);
        const made = inlineCacheOf(image);
        for (const step of made) steps.set(step.key, step);
        if (made.length === 0)
          await told.tell({
            stream: `[Warning] cache from ${reference}: it tells of no steps; build it with --build-arg ${INLINE_CACHE_ARG}=1\n`,
          });
      } catch (error) {
        told.signal.throwIfAborted();
        await told.tell({ stream: `[Warning] cache from ${reference}: ${messageOf(error)}\n` });
      }
    }
    return steps;
  }

  /** An image of this host; where it is missing, or newer ones are wanted, from its registry. */
  async #image(
    assembly: ImageAssembly,
    reference: string,
    platform: string | undefined,
    request: BuildRequest,
    { tell, signal }: { readonly tell: Emit; readonly signal: AbortSignal },
  ): Promise<BaseImage> {
    const { images } = this.#options;
    const wanted = platform ?? request.platform;
    if (!request.pull) {
      try {
        const image = await assembly.image(reference);
        if (fits(image, wanted)) return image;
      } catch (error) {
        if (!isHyperError(error, 'not-found')) throw error;
      }
    }
    const auth = authFor(request.auths, reference);
    await images.pull(reference, {
      ...{ signal, onProgress: (message) => void tell(message) },
      ...(auth && { auth }),
      ...(wanted && { platform: wanted }),
    });
    return assembly.image(reference);
  }

  async #warnOfUnused(
    args: ReadonlyMap<string, string>,
    used: ReadonlySet<string>,
    globals: ReadonlyMap<string, string>,
    tell: Emit,
  ): Promise<void> {
    const unused = [...args.keys()].filter(
      (name) =>
        !used.has(name) && !globals.has(name) && !/^(?:BUILDKIT_|SOURCE_DATE_EPOCH$)|_proxy$/i.test(name),
    );
    if (unused.length > 0)
      await tell({ stream: `[Warning] One or more build-args [${unused.join(' ')}] were not consumed\n` });
  }

  async #tellResult(image: Digest, { names, quiet }: BuildRequest, emit: Emit): Promise<void> {
    await emit({ aux: { ID: image } });
    if (quiet) return emit({ stream: `${image}\n` });
    await emit({ stream: `Successfully built ${image.slice(7, 19)}\n` });
    for (const name of names)
      await emit({
        stream: `Successfully tagged ${name.includes(':', name.lastIndexOf('/') + 1) ? name : `${name}:latest`}\n`,
      });
  }

  #errorOf(error: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) return new HyperError('canceled', 'build: canceled', { cause: error });
    return toldOf(error, 'build');
  }

  /** What the build has left behind, and what has become too much. */
  async #tidy(): Promise<void> {
    const { cache, images, logger } = this.#options;
    try {
      cache.prune(this.#limits);
      await images.collectGarbage();
    } catch (error) {
      logger.warn({ err: messageOf(error) }, 'tidy up after a build');
    }
  }

  get #limits(): CacheLimits {
    return this.#options.cacheLimits ?? DEFAULT_CACHE_LIMITS;
  }

  async #diskBytes(): Promise<number> {
    const { blobBytes, rootfsBytes } = await this.#options.images.usage();
    return blobBytes + rootfsBytes + (await this.#caches.usageBytes());
  }
}

/** The labels of the request are the image's, too. */
function withLabels(document: object, labels: Readonly<Record<string, string>>): object {
  if (Object.keys(labels).length === 0) return document;
  const { config } = document as { readonly config: { readonly Labels?: object } };
  return { ...document, config: { ...config, Labels: { ...config.Labels, ...labels } } };
}

function shapeOf({ memoryBytes, vcpus }: BuildRequest): MachineShape {
  const memoryMib = memoryBytes ? Math.ceil(memoryBytes / MIB) : DEFAULT_SHAPE.memoryMib;
  if (memoryMib < MIN_MEMORY_MIB)
    throw new HyperError(
      'invalid-argument',
      `build with ${memoryBytes} bytes of memory: want at least ${MIN_MEMORY_MIB} MiB`,
    );
  if (vcpus !== undefined && (vcpus < 1 || vcpus > MAX_VCPUS))
    throw new HyperError('invalid-argument', `build with ${vcpus} CPUs: want 1 to ${MAX_VCPUS}`);
  return { vcpus: vcpus ?? DEFAULT_SHAPE.vcpus, memoryMib };
}

function epochOf(args: ReadonlyMap<string, string>): number | undefined {
  const text = args.get('SOURCE_DATE_EPOCH');
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,11}$/.test(text)) return Number(text);
  throw new HyperError('invalid-argument', `invalid SOURCE_DATE_EPOCH: ${text.slice(0, 100)}`);
}

/** Whether an image of this host is for the platform that is wanted. */
function fits({ config }: BaseImage, platform: string | undefined): boolean {
  if (platform === undefined) return true;
  const { os, architecture } = parsePlatform(platform);
  return (config.os ?? os) === os && (config.architecture ?? architecture) === architecture;
}

function authFor(auths: ReadonlyMap<string, RegistryAuth>, reference: string): RegistryAuth | undefined {
  const { domain } = parseReference(reference);
  const names =
    domain === 'docker.io'
      ? ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', 'registry-1.docker.io']
      : [domain];
  for (const name of names) {
    const auth = auths.get(name) ?? auths.get(`https://${name}`) ?? auths.get(`http://${name}`);
    if (auth) return auth;
  }
  return undefined;
}
