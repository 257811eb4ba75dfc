import type { Ailment } from '../upkeep/index.ts';
import type { Device } from './devices.ts';

export interface ExaminedNetworks {
  /** Why bridged networks are out of order, where they are. */
  readonly fault: string | undefined;
  /** All devices of this root. */
  readonly devices: readonly Device[];
  /** Those of the networks. */
  readonly bridges: ReadonlySet<string>;
  /** Of pods that run, and of all pods: one that starts or ends may have its own. */
  readonly taps: { readonly running: readonly string[]; readonly all: ReadonlySet<string> };
  /** Whether the tables of the packet filter are there. */
  readonly hasTables: boolean;
  remove(device: string): Promise<void>;
  /** Makes bridges and tables that are missing. */
  raise(): Promise<void>;
}

/** Devices of nobody, and bridges, taps and tables that are missing. */
export function examineNetworks({ fault, devices, bridges, taps, ...found }: ExaminedNetworks): Ailment[] {
  const ailments: Ailment[] = [];
  if (fault !== undefined)
    ailments.push({
      problem: `bridged networks are out of order: ${fault}`,
      remedy: 'put that right, and start the daemon again',
    });
  for (const { name, kind } of devices) {
    if (bridges.has(name) || taps.all.has(name)) continue;
    ailments.push({
      problem: `the ${kind} ${name} of this daemon belongs to no ${kind === 'tap' ? 'pod' : 'network'}`,
      remedy: 'it is removed',
      mend: () => found.remove(name),
    });
  }
  const isThere = (name: string): boolean => devices.some((device) => device.name === name);
  for (const name of taps.running.filter((tap) => !isThere(tap)))
    ailments.push({
      problem: `the tap ${name} of a running pod is missing, so that the pod has no network`,
      remedy: 'stop the pod and start it again',
    });
  for (const name of bridges)
    if (!isThere(name))
      ailments.push({
        problem: `the bridge ${name} of a network is missing`,
        remedy: 'it is made again; pods that were on it have to be stopped and started',
        mend: () => found.raise(),
      });
  if (!found.hasTables)
    ailments.push({
      problem: "the daemon's tables are missing in the packet filter: nothing is published or kept apart",
      remedy: 'they are made again; ports of running pods are published with the next start of the daemon',
      mend: () => found.raise(),
    });
  return ailments;
}
