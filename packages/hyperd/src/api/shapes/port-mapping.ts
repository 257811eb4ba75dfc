import type { PortMapping } from '../../pods/spec/index.ts';

/** A mapping as the original answers it; the address only where one was asked for. */
export function portMappingShape({ containerPort, hostPort, protocol, hostIP }: PortMapping): object {
  return { containerPort, hostPort, protocol, ...(hostIP === '' ? {} : { hostIP }) };
}
