import type { Route } from '../call.ts';
import { containerRoutes } from './containers.ts';
import type { RouteContext } from './context.ts';
import { execRoutes } from './exec-attach.ts';
import { imageRoutes } from './images.ts';
import { podRoutes } from './pods.ts';
import { systemRoutes } from './system.ts';

/** All routes, grouped as they are documented. */
export function allRoutes(context: RouteContext): Readonly<Record<string, readonly Route[]>> {
  return {
    System: systemRoutes(context),
    Pods: podRoutes(context),
    Containers: containerRoutes(context),
    'Execs and sessions': execRoutes(context),
    Images: imageRoutes(context),
  };
}
