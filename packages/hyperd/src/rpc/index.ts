import type { ImageService } from '../images/image-service.ts';
import type { Logger } from '../logger.ts';
import type { MachineService } from '../machines/machine.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { RpcContext } from './context.ts';
import { containerMethods } from './methods/containers.ts';
import { daemonMethods } from './methods/daemon.ts';
import { imageMethods } from './methods/images.ts';
import { networkMethods } from './methods/networks.ts';
import { podMethods } from './methods/pods.ts';
import { processMethods } from './methods/processes.ts';
import { RpcServer } from './server.ts';

export interface RpcOptions {
  readonly pods: PodService;
  readonly images: ImageService;
  readonly machines: MachineService;
  readonly about: RpcContext['about'];
  readonly logger: Logger;
}

/** The gRPC service of the original. `listen` once; disposing ends it and leaves the services alone. */
export function createRpc({ logger, ...context }: RpcOptions): RpcServer {
  const methods = {
    ...daemonMethods(context),
    ...podMethods(context),
    ...networkMethods(context),
    ...containerMethods(context),
    ...processMethods(context),
    ...imageMethods(context),
  };
  return new RpcServer(methods, logger);
}
