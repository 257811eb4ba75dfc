import type { Static } from 'typebox';
import type { PortMapping } from '../../pods/spec/index.ts';
import type * as schemas from './schemas.ts';

/** A mapping as the original answers it; the address only where one was asked for. */
export function portMappingShape({
  containerPort,
  hostPort,
  protocol,
  hostIP,
}: PortMapping): Static<typeof schemas.PortMapping> {
  return { containerPort, hostPort, protocol, ...(hostIP === '' ? {} : { hostIP }) };
}
