import type { Route } from '../call.ts';
import { authRoutes } from './auth.ts';
import { commitRoutes } from './commit.ts';
import { containerFileRoutes } from './container-files.ts';
import { containerRoutes } from './containers.ts';
import type { RouteContext } from './context.ts';
import { eventRoutes } from './events.ts';
import { execRoutes } from './exec-attach.ts';
import { imageTransferRoutes } from './image-transfers.ts';
import { imageRoutes } from './images.ts';
import { machineRoutes } from './machines.ts';
import { podRoutes } from './pods.ts';
import { portRoutes } from './ports.ts';
import { systemRoutes } from './system.ts';

/** All routes, grouped as they are documented. */
export function allRoutes(context: RouteContext): Readonly<Record<string, readonly Route[]>> {
  return {
    System: systemRoutes(context),
    Pods: [...podRoutes(context), ...portRoutes(context)],
    Machines: machineRoutes(context),
    Containers: [...containerRoutes(context), ...containerFileRoutes(context), ...commitRoutes(context)],
    'Execs and sessions': execRoutes(context),
    Events: eventRoutes(context),
    Images: [...imageTransferRoutes(context), ...imageRoutes(context), ...authRoutes(context)],
  };
}
