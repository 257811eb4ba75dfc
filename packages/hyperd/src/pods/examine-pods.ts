import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ailment, entriesOf, leftDrafts } from '../upkeep/index.ts';
import type { Pod } from './pod.ts';

export interface ExaminedPods {
  /** Where each pod has its files. */
  readonly directory: string;
  readonly pods: readonly Pod[];
  /** Also of one that is being made. */
  isKnown(id: string): boolean;
  remove(pod: Pod): Promise<void>;
}

/** Directories without a pod, files that a pod's start has left half-made, and pods that are half removed. */
export async function examinePods({ directory, pods, isKnown, remove }: ExaminedPods): Promise<Ailment[]> {
  const found: Ailment[] = [];
  for (const name of await entriesOf(directory)) {
    const path = join(directory, name);
    if (isKnown(name)) {
      found.push(...(await leftDrafts(path, (file) => file.endsWith('.tmp'))));
      continue;
    }
    found.push({
      problem: `the directory ${path} is of a pod that there is no more`,
      remedy: 'it is removed',
      mend: async () => {
        if (!isKnown(name)) await rm(path, { recursive: true, force: true }); // one may have been made since
      },
    });
  }
  for (const pod of pods.filter(({ isHalfRemoved }) => isHalfRemoved))
    found.push({
      problem: `pod ${pod.id} was to be removed, and a part of it is still there`,
      remedy: 'it is removed',
      mend: () => remove(pod),
    });
  return found;
}
