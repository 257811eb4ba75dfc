import type { Route } from '../call.ts';
import { authRoutes } from './auth.ts';
import { buildRoutes } from './builds.ts';
import { commitRoutes } from './commit.ts';
import { containerFileRoutes } from './container-files.ts';
import { containerRoutes } from './containers.ts';
import type { RouteContext } from './context.ts';
import { doctorRoutes } from './doctor.ts';
import { documentRoute } from './document.ts';
import { eventRoutes } from './events.ts';
import { execRoutes } from './exec-attach.ts';
import { imageTransferRoutes } from './image-transfers.ts';
import { imageRoutes } from './images.ts';
import { machineRoutes } from './machines.ts';
import { networkRoutes } from './networks.ts';
import { podRunRoutes } from './pod-runs.ts';
import { podRoutes } from './pods.ts';
import { portRoutes } from './ports.ts';
import { runRoutes } from './run.ts';
import { serviceRoutes } from './services.ts';
import { systemRoutes } from './system.ts';
import { volumeRoutes } from './volumes.ts';
import { watchingRoutes } from './watching.ts';

/** All routes, grouped as they are documented. */
export function allRoutes(context: RouteContext): Readonly<Record<string, readonly Route[]>> {
  const groups: Readonly<Record<string, readonly Route[]>> = {
    System: [...systemRoutes(context), ...doctorRoutes(context), documentRoute(context, () => groups)],
    Pods: [...podRoutes(context), ...podRunRoutes(context), ...runRoutes(context), ...portRoutes(context)],
    Networks: networkRoutes(context),
    Services: serviceRoutes(context),
    Volumes: volumeRoutes(context),
    Machines: machineRoutes(context),
    Containers: [...containerRoutes(context), ...containerFileRoutes(context), ...commitRoutes(context)],
    'Execs and sessions': execRoutes(context),
    'Events, waiting, processes': [...eventRoutes(context), ...watchingRoutes(context)],
    Images: [
      ...imageTransferRoutes(context),
      ...imageRoutes(context),
      ...buildRoutes(context),
      ...authRoutes(context),
    ],
  };
  return groups;
}
