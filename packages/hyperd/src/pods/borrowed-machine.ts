import type { Digest } from '../ids.ts';
import type { Machine } from '../machines/machine.ts';
import { identityOf } from './identity.ts';
import { POWEROFF_GRACE_MS, type PodContext } from './pod-context.ts';
import { PodDisks } from './pod-disks.ts';
import type { PodRecord } from './pod-records.ts';
import type { StartPlace } from './start-spec.ts';

/** What is borrowed a machine for. */
export interface Borrowing {
  readonly pod: PodRecord;
  /** Its root file system is plugged in. */
  readonly image: Digest;
  /** Path of the pod's writable disk, which is plugged in, too. */
  readonly scratch: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * For work on the disks of a pod that has no machine: gives it one for that time. It is the pod's, so that a daemon that dies meanwhile leaves nothing, and
 * has written its disks back when this is done.
 */
export async function withBorrowedMachine<T>(
  { pod, image, scratch, signal }: Borrowing,
  { images, machines }: Pick<PodContext, 'images' | 'machines'>,
  work: (place: StartPlace) => Promise<T>,
): Promise<T> {
  const disks = new PodDisks(images);
  let machine: Machine | undefined;
  try {
    await disks.prepare(image, signal);
    machine = await machines.acquire({
      ...{ shape: pod.spec.resource, owner: pod.id, identity: identityOf(pod.spec.hostname) },
      ...(signal && { signal }),
    });
    await disks.plugAll(machine, scratch);
    return await work({
      ...{ agent: machine.agent, processId: 1, rootfsDisk: disks.nameOf(image) },
      ...{ scratchDisk: disks.scratchName, files: [] },
    });
  } finally {
    await machine?.stop({ graceMs: POWEROFF_GRACE_MS });
    disks.release();
  }
}
