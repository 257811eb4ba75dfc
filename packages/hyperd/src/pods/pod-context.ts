import type { Events } from '../events/index.ts';
import type { ImageService } from '../images/image-service.ts';
import type { Logger } from '../logger.ts';
import type { Machine, MachineService } from '../machines/machine.ts';
import type { ScratchDisks } from '../machines/scratch-disk.ts';
import type { HostPorts } from '../networks/host-ports.ts';
import type { Networks } from '../networks/networks.ts';
import type { Volumes } from '../volumes/index.ts';
import type { ContainerLogs } from './container-log.ts';
import type { Discards } from './discards.ts';
import type { Pod } from './pod.ts';
import type { PodRecords } from './pod-records.ts';
import type { ReadyImages } from './ready-images.ts';

/** Time between a container's stop signal and SIGKILL, in ms, where the caller does not say (the original's). */
export const STOP_GRACE_MS = 5_000;
/** Time for the guest to sync and power off, in ms. */
export const POWEROFF_GRACE_MS = 5_000;

/** What all pods of a daemon have in common. */
export interface PodContext {
  readonly root: string;
  readonly records: PodRecords;
  readonly machines: MachineService;
  readonly images: ImageService;
  readonly scratch: ScratchDisks;
  readonly readyImages: ReadyImages;
  readonly volumes: Volumes;
  readonly hostPorts: HostPorts;
  readonly networks: Networks;
  readonly logs: ContainerLogs;
  readonly logger: Logger;
  readonly events: Events;
  readonly discards: Discards;
  /** Takes a machine that its pod has given back alive. */
  readonly keepMachine: (machine: Machine) => void;
  /** Throws `limit` where no more pods may run. */
  readonly admit: () => void;
  /** The pod is over for good, and is to be removed then. */
  readonly onOver: (pod: Pod) => void;
}
