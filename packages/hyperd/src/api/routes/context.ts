import type { BuildService } from '../../build/service.ts';
import type { Doctor } from '../../doctor/index.ts';
import type { Events } from '../../events/index.ts';
import type { ImageService } from '../../images/image-service.ts';
import type { ConfinementMeasure, MachineService } from '../../machines/machine.ts';
import type { Networks } from '../../networks/networks.ts';
import type { PodService } from '../../pods/pod-service.ts';
import type { Volumes } from '../../volumes/index.ts';
import type { ClientTags } from '../client-tags.ts';
import type { MachineExecs } from '../machine-execs.ts';

/** What the routes serve. */
export interface RouteContext {
  readonly pods: PodService;
  readonly images: ImageService;
  readonly builds: BuildService;
  readonly volumes: Pick<Volumes, 'named'>;
  readonly machines: MachineService;
  readonly networks: Networks;
  readonly events: Events;
  readonly doctor: Doctor;
  readonly about: About;
  readonly machineExecs: MachineExecs;
  readonly clientTags: ClientTags;
}

/** What the daemon says of itself. */
export interface About {
  readonly version: string;
  readonly rootDirectory: string;
  /** What keeps machines' processes from the host. */
  readonly confinement?: readonly ConfinementMeasure[];
}
