import { join } from 'node:path';
import type { BaseImage } from '../images/assembly/assembly.ts';
import type { ImageLayer } from '../images/assembly/layer-sink.ts';
import { Semaphore } from '../machines/semaphore.ts';
import { BuildMachine, type MachineParts } from './build-machine.ts';
import { type BuildParts, type BuildScope, createdOf, type StageResult } from './build-scope.ts';
import { INLINE_CACHE_ARG, withInlineCache } from './inline-cache.ts';
import { StageBuild } from './stage-build.ts';

/** More machines of one build at once only take each other's time. */
const MAX_MACHINES = 6;

/** One build: the stages that its target needs, each begun as soon as somebody needs it. */
export class Build {
  readonly #scope: BuildScope;
  readonly #machine: Omit<MachineParts, 'scratchPath'>;
  readonly #stop = new AbortController();
  readonly #stages = new Map<number, Promise<StageResult>>();
  readonly #images = new Map<string, Promise<BaseImage>>();
  readonly #machines = new Semaphore(MAX_MACHINES);

  constructor(parts: BuildParts, machine: Omit<MachineParts, 'scratchPath'>) {
    this.#machine = machine;
    this.#scope = {
      ...parts,
      usedArgs: new Set(),
      signal: AbortSignal.any([parts.signal, this.#stop.signal]),
      stage: (index) => this.#stage(index),
      image: (reference, platform) => this.#image(parts, reference, platform),
      startMachine: (stage) => this.#startMachine(stage),
    };
  }

  /** Names of the build arguments that an ARG has asked for so far. */
  get usedArgs(): ReadonlySet<string> {
    return this.#scope.usedArgs;
  }

  /** Builds the target. Whatever comes of it, nothing of the build runs any more then. */
  async run(): Promise<{ readonly document: object; readonly layers: readonly ImageLayer[] }> {
    const { needed, target } = this.#scope.plan;
    try {
      const results = await Promise.all(needed.map((index) => this.#stage(index)));
      const result = results[needed.indexOf(target)] as StageResult;
      const document = result.draft.document(createdOf(this.#scope));
      const wantsCache = this.#scope.args.get(INLINE_CACHE_ARG) === '1';
      return { document: wantsCache ? withInlineCache(document, result) : document, layers: result.layers };
    } catch (error) {
      this.#stop.abort(); // the other stages are of no use without this one
      throw error;
    } finally {
      await Promise.allSettled(this.#stages.values());
    }
  }

  #stage(index: number): Promise<StageResult> {
    const known = this.#stages.get(index);
    if (known) return known;
    const begun = new StageBuild(this.#scope, index, this.#place(index)).run();
    begun.catch(() => undefined); // told to whoever waits for it
    this.#stages.set(index, begun);
    return begun;
  }

  /** Each image is looked for once. */
  #image(parts: BuildParts, reference: string, platform: string | undefined): Promise<BaseImage> {
    const key = `${reference} ${platform ?? ''}`;
    const known = this.#images.get(key);
    if (known) return known;
    const found = parts.image(reference, platform);
    found.catch(() => undefined); // told to whoever waits for it
    this.#images.set(key, found);
    return found;
  }

  async #startMachine(stage: number): Promise<BuildMachine> {
    const { plan, signal, directory } = this.#scope;
    // Where not all stages can have a machine at once, none that has one may wait for one that has none.
    if (plan.needed.length > MAX_MACHINES)
      await Promise.all([...(plan.stages[stage]?.needs ?? [])].map((need) => this.#stage(need)));
    const slot = await this.#machines.enter(signal);
    const scratchPath = join(directory, `scratch-${stage}-${Date.now().toString(36)}.img`);
    try {
      return await BuildMachine.acquire({ ...this.#machine, scratchPath }, signal, () =>
        slot[Symbol.dispose](),
      );
    } catch (error) {
      slot[Symbol.dispose]();
      throw error;
    }
  }

  /** Number of the stage's first step among those of all stages, and how many there are. */
  #place(index: number): { readonly first: number; readonly count: number } {
    const { needed, stages } = this.#scope.plan;
    const sizes = needed.map((stage) => 1 + (stages[stage]?.stage.instructions.length ?? 0));
    const before = sizes.slice(0, needed.indexOf(index)).reduce((sum, size) => sum + size, 0);
    return { first: before + 1, count: sizes.reduce((sum, size) => sum + size, 0) };
  }
}
