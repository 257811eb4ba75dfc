import type { BuildService } from '../build/service.ts';
import type { ImageService } from '../images/image-service.ts';
import type { ConfinementMeasure, MachineService } from '../machines/machine.ts';
import type { Networks } from '../networks/networks.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { State } from '../state/database.ts';
import type { Volumes } from '../volumes/index.ts';
import type { Check } from './doctor.ts';
import { examineConfinement, examinePrograms, examineSpace, examineVirtualization } from './host-checks.ts';

export interface Patient {
  readonly root: string;
  readonly confinement: readonly ConfinementMeasure[];
  readonly state: State;
  readonly machines: MachineService;
  readonly pods: PodService;
  readonly images: ImageService;
  readonly volumes: Pick<Volumes, 'named'>;
  readonly networks: Networks;
  readonly builds: BuildService;
}

/** All that the doctor looks at: what everything else stands on first. */
export function createChecks(patient: Patient): Check[] {
  const { root, confinement, state, machines, pods, images, volumes, networks, builds } = patient;
  return [
    { name: 'programs', examine: examinePrograms },
    { name: 'virtualization', examine: async () => examineVirtualization(await machines.info()) },
    { name: 'confinement', examine: () => examineConfinement(confinement) },
    { name: 'disk', examine: () => examineSpace(root) },
    { name: 'database', examine: async () => state.examine() },
    { name: 'machines', examine: () => machines.examine() },
    { name: 'pods', examine: () => pods.examine() },
    { name: 'images', examine: (options) => images.examine(options) },
    { name: 'builds', examine: () => builds.examine() },
    { name: 'volumes', examine: () => volumes.named.examine() },
    { name: 'networks', examine: () => networks.examine() },
  ];
}
