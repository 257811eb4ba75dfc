import { join } from 'node:path';
import type { BaseImage, ImageAssembly } from '../images/assembly/assembly.ts';
import type { ImageLayer } from '../images/assembly/layer-sink.ts';
import type { TreeNode } from '../images/layers/tree.ts';
import { Semaphore } from '../machines/semaphore.ts';
import { BuildMachine, type MachineParts } from './build-machine.ts';
import type { BuildOutput } from './build-output.ts';
import { type BuildScope, createdOf, type StageResult } from './build-scope.ts';
import type { BuildCache } from './cache.ts';
import type { BuildPlan } from './plan.ts';
import { StageBuild } from './stage-build.ts';

/** More machines of one build at once only take each other's time. */
const MAX_MACHINES = 6;

export interface BuildParts {
  readonly assembly: ImageAssembly;
  readonly plan: BuildPlan;
  readonly output: BuildOutput;
  readonly cache: BuildCache;
  readonly noCache: boolean;
  readonly context: TreeNode;
  readonly args: ReadonlyMap<string, string>;
  readonly secrets: ReadonlyMap<string, Buffer>;
  readonly epoch: number | undefined;
  readonly signal: AbortSignal;
  readonly stepTimeoutMs: number;
  readonly keepFailed: boolean;
  readonly directory: string;
  readonly machine: Omit<MachineParts, 'scratchPath'>;
  readonly cacheDisk: BuildScope['cacheDisk'];
  readonly image: BuildScope['image'];
}

/** One build: the stages that its target needs, each begun as soon as somebody needs it. */
export class Build implements BuildScope {
  readonly assembly: ImageAssembly;
  readonly plan: BuildPlan;
  readonly output: BuildOutput;
  readonly cache: BuildCache;
  readonly noCache: boolean;
  readonly context: TreeNode;
  readonly args: ReadonlyMap<string, string>;
  readonly usedArgs = new Set<string>();
  readonly secrets: ReadonlyMap<string, Buffer>;
  readonly epoch: number | undefined;
  readonly signal: AbortSignal;
  readonly stepTimeoutMs: number;
  readonly keepFailed: boolean;
  readonly directory: string;
  readonly cacheDisk: BuildScope['cacheDisk'];
  readonly #parts: BuildParts;
  readonly #stop = new AbortController();
  readonly #stages = new Map<number, Promise<StageResult>>();
  readonly #images = new Map<string, Promise<BaseImage>>();
  readonly #machines = new Semaphore(MAX_MACHINES);

  constructor(parts: BuildParts) {
    this.#parts = parts;
    this.assembly = parts.assembly;
    this.plan = parts.plan;
    this.output = parts.output;
    this.cache = parts.cache;
    this.noCache = parts.noCache;
    this.context = parts.context;
    this.args = parts.args;
    this.secrets = parts.secrets;
    this.epoch = parts.epoch;
    this.signal = AbortSignal.any([parts.signal, this.#stop.signal]);
    this.stepTimeoutMs = parts.stepTimeoutMs;
    this.keepFailed = parts.keepFailed;
    this.directory = parts.directory;
    this.cacheDisk = parts.cacheDisk;
  }

  /** Builds the target. Whatever comes of it, nothing of the build runs any more then. */
  async run(): Promise<{ readonly document: object; readonly layers: readonly ImageLayer[] }> {
    const { needed, target } = this.plan;
    try {
      const results = await Promise.all(needed.map((index) => this.stage(index)));
      const result = results[needed.indexOf(target)] as StageResult;
      return { document: result.draft.document(createdOf(this)), layers: result.layers };
    } catch (error) {
      this.#stop.abort(); // the other stages are of no use without this one
      throw error;
    } finally {
      await Promise.allSettled(this.#stages.values());
    }
  }

  stage(index: number): Promise<StageResult> {
    const known = this.#stages.get(index);
    if (known) return known;
    const begun = new StageBuild(this, index, this.#place(index)).run();
    begun.catch(() => undefined); // told to whoever waits for it
    this.#stages.set(index, begun);
    return begun;
  }

  image(reference: string, platform: string | undefined): Promise<BaseImage> {
    const key = `${reference} ${platform ?? ''}`;
    const known = this.#images.get(key);
    if (known) return known;
    const found = this.#parts.image(reference, platform);
    found.catch(() => undefined); // told to whoever waits for it
    this.#images.set(key, found);
    return found;
  }

  async startMachine(stage: number): Promise<BuildMachine> {
    const { machine } = this.#parts;
    // Where not all stages can have a machine at once, none that has one may wait for one that has none.
    if (this.plan.needed.length > MAX_MACHINES)
      await Promise.all([...(this.plan.stages[stage]?.needs ?? [])].map((need) => this.stage(need)));
    const slot = await this.#machines.enter(this.signal);
    const scratchPath = join(this.directory, `scratch-${stage}-${Date.now().toString(36)}.img`);
    try {
      return await BuildMachine.acquire({ ...machine, scratchPath }, this.signal, () =>
        slot[Symbol.dispose](),
      );
    } catch (error) {
      slot[Symbol.dispose]();
      throw error;
    }
  }

  /** Number of the stage's first step among those of all stages, and how many there are. */
  #place(index: number): { readonly first: number; readonly count: number } {
    const sizes = this.plan.needed.map(
      (stage) => 1 + (this.plan.stages[stage]?.stage.instructions.length ?? 0),
    );
    const before = sizes.slice(0, this.plan.needed.indexOf(index)).reduce((sum, size) => sum + size, 0);
    return { first: before + 1, count: sizes.reduce((sum, size) => sum + size, 0) };
  }
}
