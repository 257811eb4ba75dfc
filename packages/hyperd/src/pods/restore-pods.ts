import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { Machine } from '../machines/machine.ts';
import type { Pod } from './pod.ts';
import type { PodContext } from './pod-context.ts';
import type { PodRegistry } from './pod-registry.ts';

export interface RestoredPods {
  readonly registry: PodRegistry;
  readonly context: PodContext;
  remove(pod: Pod): Promise<void>;
}

/**
 * At daemon start, with the machines that outlived an earlier daemon: takes running pods up again, ends what is half started, goes on with half-done
 * removals, and removes what belongs to nobody. Never rejects for one pod's sake.
 */
export async function restorePods(machines: readonly Machine[], pods: RestoredPods): Promise<void> {
  const { registry, context, remove } = pods;
  const unclaimed = new Set(machines);
  const work: Promise<void>[] = [];
  for (const pod of registry.all()) {
    const machine = machines.find((m) => m.id === pod.record.machineId);
    if (pod.isBeingRemoved) work.push(remove(pod));
    else if (machine && pod.isAlive) {
      unclaimed.delete(machine);
      work.push(pod.adopt(machine));
    } else work.push(pod.declareLost());
  }
  for (const machine of unclaimed) {
    if (machine.owner === undefined) context.keepMachine(machine);
    else work.push(machine.stop({ graceMs: 0 }));
  }
  for (const result of await Promise.allSettled(work)) {
    if (result.status === 'rejected') context.logger.error({ err: result.reason }, 'restore pod');
  }
  await removeStrayDirectories(pods);
  await context.networks
    .settle((pod) => registry.has(pod))
    .catch((error: unknown) => context.logger.error({ err: error }, 'clear away networks of pods'));
}

/** Directories of pods that are not, and what a start that was broken off has left half-made. */
async function removeStrayDirectories({ registry, context }: RestoredPods): Promise<void> {
  const directory = join(context.root, 'pods');
  try {
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      if (!registry.has(name)) await rm(path, { recursive: true, force: true });
      else
        for (const file of await readdir(path))
          if (file.endsWith('.tmp')) await rm(join(path, file), { force: true });
    }
  } catch (error) {
    context.logger.debug({ err: messageOf(error) }, 'look for stray pod directories');
  }
}
