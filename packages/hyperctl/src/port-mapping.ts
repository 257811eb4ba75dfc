import type { PortMapping } from '@hyperd/client';
import { UsageError } from './usage-error.ts';

export const PUBLISH_VALUE = '[tcp:|udp:][ADDRESS:][HOST]:CONTAINER';

const PORTS = '\\d+(?:-\\d+)?';
const RULE = new RegExp(`^(?:(tcp|udp):)?(?:(\\d+(?:\\.\\d+){3}):)?(${PORTS})?:(${PORTS})(?:/(tcp|udp))?$`);

/**
 * Reads `[tcp:|udp:][ADDRESS:][HOST]:CONTAINER`, with ranges `a-b`; `/udp` behind it is understood as well. Without HOST the daemon
 * chooses the port. Throws UsageError.
 */
export function portMapping(text: string): PortMapping {
  const mapping = read(text);
  if (mapping) return mapping;
  throw new UsageError(
    `--publish is "${text}", want ${PUBLISH_VALUE} such as 8080:80, udp:53:53 or 8000-8010:80-90`,
  );
}

/** Whether a value of `-p` is a port mapping; else it is a pod file, as in the original. */
export function isPortMapping(text: string): boolean {
  return read(text) !== undefined;
}

function read(text: string): PortMapping | undefined {
  const [, before, address, hostPort = '', containerPort, behind] = RULE.exec(text) ?? [];
  if (!containerPort || (before && behind)) return undefined;
  return {
    ...{ hostPort, containerPort, protocol: before ?? behind ?? 'tcp' },
    ...(address ? { hostIP: address } : {}),
  };
}
