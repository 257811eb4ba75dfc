import { HyperError } from '../errors.ts';
import { HOST_PLATFORM, type Platform, parsePlatform } from '../images/image-files.ts';
import type { Dockerfile, Instruction, Stage } from './dockerfile/instruction.ts';
import { parseError, shown } from './dockerfile/parse-error.ts';
import { expandWord } from './dockerfile/words.ts';

export type StageBase =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'image'; readonly reference: string; readonly platform: string | undefined };

export interface PlannedStage {
  readonly stage: Stage;
  readonly base: StageBase;
  /** Earlier stages that it takes from. */
  readonly needs: ReadonlySet<number>;
}

export interface BuildPlan {
  readonly escapeChar: string;
  readonly stages: readonly PlannedStage[];
  /** Index of the stage that becomes the image. */
  readonly target: number;
  /** Indices of the stages that it takes, itself among them, in order. */
  readonly needed: readonly number[];
  /** Values of the arguments before the first FROM, and of those that every build has. */
  readonly globals: ReadonlyMap<string, string>;
  readonly platform: Platform;
}

export interface PlanOptions {
  readonly target?: string | undefined;
  readonly args: ReadonlyMap<string, string>;
  readonly platform?: string | undefined;
}

/** Which stages are built, and from what. Throws `invalid-argument` for a target, base or stage that there is not. */
export function planBuild({ escapeChar, globalArgs, stages }: Dockerfile, options: PlanOptions): BuildPlan {
  const platform = options.platform ? parsePlatform(options.platform) : HOST_PLATFORM;
  const target = targetOf(stages, options.target);
  const globals = platformArgs(platform, stages[target]?.name ?? options.target ?? '');
  for (const { args, line } of globalArgs)
    for (const { key, value } of args) {
      const given =
        options.args.get(key) ??
        (value === undefined ? globals.get(key) : expanded(value, globals, line, escapeChar));
      if (given !== undefined) globals.set(key, given);
    }
  const planned = stages.map((stage): PlannedStage => {
    const base = baseOf(stage, stages, globals, escapeChar);
    const needs = new Set(
      stage.instructions.flatMap((instruction) => sourceStages(instruction, stage.index, stages)),
    );
    if (base.kind === 'stage') needs.add(base.index);
    return { stage, base, needs };
  });
  return { escapeChar, stages: planned, target, needed: neededBy(target, planned), globals, platform };
}

/** The stage that `--from` or a base names: by name, or by number where `numbers` are names. */
export function stageNamed(
  text: string,
  stages: readonly Stage[],
  before: number,
  { numbers }: { readonly numbers: boolean },
): number | undefined {
  const lower = text.toLowerCase();
  const byName = stages.slice(0, before).findLast(({ name }) => name === lower);
  if (byName) return byName.index;
  return numbers && /^\d{1,6}$/.test(text) ? Number(text) : undefined;
}

function targetOf(stages: readonly Stage[], target: string | undefined): number {
  if (target === undefined || target === '') return stages.length - 1;
  const index = stageNamed(target, stages, stages.length, { numbers: true });
  if (index === undefined || index >= stages.length)
    throw new HyperError('invalid-argument', `target stage ${shown(target)} could not be found`);
  return index;
}

function platformArgs({ os, architecture, variant }: Platform, stage: string): Map<string, string> {
  const text = (p: Platform): string => `${p.os}/${p.architecture}${p.variant ? `/${p.variant}` : ''}`;
  return new Map([
    ...([
      ['BUILDPLATFORM', text(HOST_PLATFORM)],
      ['BUILDOS', HOST_PLATFORM.os],
      ['BUILDARCH', HOST_PLATFORM.architecture],
    ] as const),
    ...([
      ['BUILDVARIANT', HOST_PLATFORM.variant ?? ''],
      ['TARGETPLATFORM', text({ os, architecture, variant })],
    ] as const),
    ...([
      ['TARGETOS', os],
      ['TARGETARCH', architecture],
      ['TARGETVARIANT', variant ?? ''],
      ['TARGETSTAGE', stage || 'default'],
    ] as const),
  ]);
}

function expanded(
  text: string,
  globals: ReadonlyMap<string, string>,
  line: number,
  escapeChar: string,
): string {
  try {
    return expandWord(text, { escapeChar, environment: (name) => globals.get(name) });
  } catch (error) {
    throw parseError(line, (error as HyperError).message);
  }
}

function baseOf(
  stage: Stage,
  stages: readonly Stage[],
  globals: ReadonlyMap<string, string>,
  escapeChar: string,
): StageBase {
  const reference = expanded(stage.base, globals, stage.line, escapeChar);
  if (reference === '') throw parseError(stage.line, `base name (${stage.base}) should not be blank`);
  const platform =
    stage.platform === undefined ? undefined : expanded(stage.platform, globals, stage.line, escapeChar);
  const index = stageNamed(reference, stages, stage.index, { numbers: false });
  if (index !== undefined) return { kind: 'stage', index };
  return reference === 'scratch' ? { kind: 'scratch' } : { kind: 'image', reference, platform };
}

function sourceStages(instruction: Instruction, index: number, stages: readonly Stage[]): number[] {
  const names: string[] = [];
  if (instruction.kind === 'copy' && instruction.flags.from !== undefined) names.push(instruction.flags.from);
  if (instruction.kind === 'run')
    names.push(...instruction.mounts.flatMap(({ fields }) => fields.get('from') ?? []));
  return names.flatMap((name) => {
    const found = stageNamed(name, stages, index, { numbers: true });
    if (found !== undefined && found >= index)
      throw parseError(
        instruction.line,
        `invalid from flag value ${shown(name)}: there is no such stage before this one`,
      );
    return found ?? [];
  });
}

function neededBy(target: number, stages: readonly PlannedStage[]): number[] {
  const needed = new Set([target]);
  for (const index of needed) for (const need of stages[index]?.needs ?? []) needed.add(need);
  return [...needed].sort((a, b) => a - b);
}
