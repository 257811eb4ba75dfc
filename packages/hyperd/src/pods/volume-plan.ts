import { createHash } from 'node:crypto';
import type { ContainerRecord } from './pod-records.ts';
import type { PodSpec, VolumeSpec } from './spec/pod-spec.ts';
import { isMountable, plainPath } from './spec/volume-rules.ts';

/** A volume that a container is to have, before anything of it is looked for. */
export interface PlannedMount {
  /** Plain and absolute, in the container. */
  readonly path: string;
  readonly readOnly: boolean;
  readonly volume: PlannedVolume;
}

export type PlannedVolume =
  | { readonly kind: 'host'; readonly name: string; readonly source: string }
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'disk'; readonly spec: VolumeSpec }
  /** `directory`: on the pod's scratch disk. `mode`: of a new one that the image has nothing for. */
  | { readonly kind: 'empty'; readonly directory: string; readonly mode: number }
  /** `shared`: what containers that have it in common call it; empty: the container's own. */
  | { readonly kind: 'tmpfs'; readonly shared: string; readonly sizeBytes: number; readonly mode: number };

/** Everybody may write to a pod's own empty volume, as in the original. */
const EMPTY_MODE = 0o777;
const IMAGE_VOLUME_MODE = 0o755;

/** The volumes of a container: those of its specification, and those that its image wants and the specification does not mention. In the order to mount them. */
export function planMounts(pod: PodSpec, container: ContainerRecord): PlannedMount[] {
  const mounts = container.spec.volumes.flatMap(({ path, volume, readOnly, detail }) => {
    const spec = detail ?? pod.volumes.find(({ name }) => name === volume);
    if (!spec) return [];
    const scope = detail ? `${container.id}/volumes` : '.volumes';
    return [{ path: plainPath(path), readOnly, volume: plannedVolume(spec, scope, detail === undefined) }];
  });
  for (const path of imageVolumesOf(container)) {
    const directory = `${container.id}/volumes/${fileName(`image ${path}`)}`;
    mounts.push({ path, readOnly: false, volume: { kind: 'empty', directory, mode: IMAGE_VOLUME_MODE } });
  }
  return mounts.sort((a, b) => depth(a.path) - depth(b.path) || (a.path < b.path ? -1 : 1));
}

/** Where the image wants volumes that its specification does not mention. */
export function imageVolumesOf({ run, spec }: Pick<ContainerRecord, 'run' | 'spec'>): string[] {
  const mentioned = new Set(spec.volumes.map(({ path }) => plainPath(path)));
  const paths = (run.volumes ?? [])
    .map(plainPath)
    .filter((path) => isMountable(path) && !mentioned.has(path));
  return [...new Set(paths)];
}

/** Names of the named volumes that a pod or its containers' specifications use. */
export function namedVolumesOf(pod: PodSpec, containers: readonly ContainerRecord[]): Set<string> {
  const details = containers.flatMap(({ spec }) => spec.volumes.flatMap(({ detail }) => detail ?? []));
  return new Set(
    [...pod.volumes, ...details]
      .filter(({ format }) => format === 'volume')
      .map(({ source, name }) => source || name),
  );
}

function plannedVolume(spec: VolumeSpec, scope: string, isPods: boolean): PlannedVolume {
  const { name, source, format, sizeBytes, mode } = spec;
  if (format === 'tmpfs') return { kind: 'tmpfs', shared: isPods ? fileName(name) : '', sizeBytes, mode };
  if (format === 'volume') return { kind: 'named', name: source || name };
  if (source === '')
    return { kind: 'empty', directory: `${scope}/${fileName(`volume ${name}`)}`, mode: EMPTY_MODE };
  if (format === 'vfs') return { kind: 'host', name, source };
  return { kind: 'disk', spec };
}

/** Names of volumes may hold anything. */
function fileName(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 32);
}

function depth(path: string): number {
  return path.split('/').length;
}
