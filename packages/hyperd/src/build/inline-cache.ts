import type { BaseImage } from '../images/assembly/assembly.ts';
import type { MadeStep, StageResult } from './build-scope.ts';

/** The build argument that asks for it, as with BuildKit. */
export const INLINE_CACHE_ARG = 'BUILDKIT_INLINE_CACHE';
/** Where an image's configuration has it. */
const FIELD = 'hyperd.build-cache.v1';
const MAX_STEPS = 10_000;

/** `layer`: its place among those of the image; null: the step has changed nothing. */
interface Entry {
  readonly key: string;
  readonly layer: number | null;
  readonly created: string;
}

/** An image's configuration that tells what its steps were made of, so that a build elsewhere can take them from it. */
export function withInlineCache(document: object, { layers, made }: StageResult): object {
  const entries = made.map(({ key, layer, created }): Entry => {
    const isKept = layer && !layer.isEmpty;
    return { key, layer: isKept ? layers.findIndex(({ diffId }) => diffId === layer.diffId) : null, created };
  });
  return { ...document, [FIELD]: entries };
}

/** The steps that an image tells of; what makes no sense is left out. */
export function inlineCacheOf({ config, layers }: BaseImage): MadeStep[] {
  const entries = config[FIELD];
  if (!Array.isArray(entries)) return [];
  return (entries as readonly Partial<Entry>[]).slice(0, MAX_STEPS).flatMap((entry): MadeStep[] => {
    const { key, layer, created } = entry ?? {};
    const isStep = typeof key === 'string' && /^[0-9a-f]{64}$/.test(key) && typeof created === 'string';
    if (!isStep || Number.isNaN(Date.parse(created))) return [];
    if (layer === null) return [{ key, layer: undefined, created }];
    const found = Number.isInteger(layer) ? layers[layer as number] : undefined;
    return found ? [{ key, layer: found, created }] : [];
  });
}
