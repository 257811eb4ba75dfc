import type { BuildService } from '../build/service.ts';
import type { Events } from '../events/index.ts';
import type { ImageService } from '../images/image-service.ts';
import type { Logger } from '../logger.ts';
import type { MachineService } from '../machines/machine.ts';
import type { Networks } from '../networks/networks.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { Volumes } from '../volumes/index.ts';
import { ClientTags } from './client-tags.ts';
import { MachineExecs } from './machine-execs.ts';
import type { About } from './routes/context.ts';
import { allRoutes } from './routes/index.ts';
import { ApiServer } from './server.ts';

export interface ApiOptions {
  readonly pods: PodService;
  readonly images: ImageService;
  readonly builds: BuildService;
  readonly volumes: Pick<Volumes, 'named'>;
  readonly machines: MachineService;
  readonly networks: Networks;
  readonly events: Events;
  readonly about: About;
  readonly logger: Logger;
  readonly closeGraceMs?: number;
}

/** The REST API of the daemon. `listen` once; `close` ends it and leaves the services alone. */
export function createApi(options: ApiOptions): ApiServer {
  const routes = Object.values(
    allRoutes({ ...options, machineExecs: new MachineExecs(), clientTags: new ClientTags() }),
  ).flat();
  return new ApiServer({
    routes,
    logger: options.logger,
    product: `hyperd/${options.about.version} (linux)`,
    ...(options.closeGraceMs === undefined ? {} : { closeGraceMs: options.closeGraceMs }),
  });
}

export type { About } from './routes/context.ts';
export type { ApiServer } from './server.ts';
