import type { GuestConnection } from '../guest/index.ts';
import type { BaseImage, ImageAssembly } from '../images/assembly/assembly.ts';
import type { ImageLayer } from '../images/assembly/layer-sink.ts';
import type { TreeNode } from '../images/layers/tree.ts';
import type { BuildMachine } from './build-machine.ts';
import type { BuildOutput } from './build-output.ts';
import type { BuildCache } from './cache.ts';
import type { CacheDisk, CacheSharing } from './cache-disks.ts';
import type { ImageDraft } from './image-draft.ts';
import type { BuildPlan } from './plan.ts';
import type { StageEnvironment } from './stage-environment.ts';

/** What a stage or an image has for others to take from. */
export interface LayerSource {
  readonly layers: readonly ImageLayer[];
  /** Its merged file system; not to be changed. */
  tree(): Promise<TreeNode>;
}

/** What a step has made: a layer, or nothing. */
export interface MadeStep {
  /** Of everything that it depends on. */
  readonly key: string;
  readonly layer: ImageLayer | undefined;
  /** RFC 3339. */
  readonly created: string;
}

export interface StageResult extends LayerSource {
  readonly draft: ImageDraft;
  readonly environment: StageEnvironment;
  /** By its steps and those of the stages that it stands on. */
  readonly made: readonly MadeStep[];
}

/** The ssh agents that the client forwards. */
export interface ForwardedAgents {
  readonly ids: readonly string[];
  /** Has a connection of a step served by the client; resolves when that is over. */
  serve(id: string, connection: GuestConnection): Promise<void>;
}

/** What a build is made with. */
export interface BuildParts {
  readonly assembly: ImageAssembly;
  readonly plan: BuildPlan;
  readonly output: BuildOutput;
  readonly cache: BuildCache;
  /** Steps that images of `--cache-from` bring, by key. */
  readonly cachedElsewhere: ReadonlyMap<string, MadeStep>;
  readonly noCache: boolean;
  /** The files that the client has sent, without what is ignored. */
  readonly context: TreeNode;
  readonly args: ReadonlyMap<string, string>;
  readonly secrets: ReadonlyMap<string, Buffer>;
  readonly agents: ForwardedAgents;
  /** SOURCE_DATE_EPOCH, seconds: no time in the image is later. */
  readonly epoch: number | undefined;
  readonly signal: AbortSignal;
  readonly stepTimeoutMs: number;
  /** The state of a step that failed is kept as an image. */
  readonly keepFailed: boolean;
  /** Directory for what the build writes by the way. */
  readonly directory: string;
  /** An image of this host, or pulled. */
  image(reference: string, platform: string | undefined): Promise<BaseImage>;
  /** A disk for a cache mount, which nobody else has until it is given back. */
  cacheDisk(id: string, sharing: CacheSharing): Promise<CacheDisk>;
}

/** What all stages of one build share. */
export interface BuildScope extends BuildParts {
  /** Names of the build arguments that an ARG has asked for. */
  readonly usedArgs: Set<string>;
  /** Resolves when the stage is done. */
  stage(index: number): Promise<StageResult>;
  /** A machine for a stage, which begins with nothing. */
  startMachine(stage: number): Promise<BuildMachine>;
}

/** Seconds since the epoch, for what comes into being now. */
export function nowOf({ epoch }: Pick<BuildScope, 'epoch'>): number {
  return Math.min(Math.floor(Date.now() / 1000), epoch ?? Number.POSITIVE_INFINITY);
}

/** RFC 3339, for the image's history. */
export function createdOf({ epoch }: Pick<BuildScope, 'epoch'>): string {
  return (epoch === undefined ? new Date() : new Date(epoch * 1000)).toISOString();
}
