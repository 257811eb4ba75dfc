import type { About } from '../api/index.ts';
import type { ImageService } from '../images/image-service.ts';
import type { MachineService } from '../machines/machine.ts';
import type { PodService } from '../pods/pod-service.ts';
import type { RpcMethods } from './call.ts';

/** What the methods serve. */
export interface RpcContext {
  readonly pods: PodService;
  readonly images: ImageService;
  readonly machines: MachineService;
  readonly about: About;
}

/** Some of the service's methods. */
export type Methods<Name extends keyof RpcMethods> = Pick<RpcMethods, Name>;
