import { isIPv4 } from 'node:net';
import { HyperError } from '../../errors.ts';
import type { HostPort, PortForward } from '../../networks/port-forward.ts';
import { USER_MODE_ADDRESS } from '../../networks/user-mode.ts';

/** The network back end of a machine, on its command line. */
export const NETDEV = 'net0';

/** The monitor's command that forwards a port. Only checked addresses and numbers are put into it. Throws `internal`. */
export function addForwardCommand(forward: PortForward): string {
  return `hostfwd_add ${NETDEV} ${hostPart(forward)}-${USER_MODE_ADDRESS}:${portNumber(forward.guestPort)}`;
}

export function removeForwardCommand(port: HostPort): string {
  return `hostfwd_remove ${NETDEV} ${hostPart(port)}`;
}

function hostPart({ protocol, hostAddress, hostPort }: HostPort): string {
  if (!['tcp', 'udp'].includes(protocol) || !isIPv4(hostAddress))
    throw new HyperError(
      'internal',
      `forward ${protocol} port of "${hostAddress}": want tcp or udp, and IPv4`,
    );
  return `${protocol}:${hostAddress}:${portNumber(hostPort)}`;
}

function portNumber(port: number): number {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new HyperError('internal', `forward port ${port}: want 1 to 65535`);
}

/** The forwards in the monitor's "info usernet". */
export function parseForwards(usernet: string): PortForward[] {
  const forwards: PortForward[] = [];
  for (const line of usernet.split('\n')) {
    const [, protocol, address = '', hostPort, guestPort] =
      /^\s*(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\*|[\d.]+)\s+(\d+)\s+[\d.*]+\s+(\d+)\s/.exec(line) ?? [];
    if (protocol === undefined) continue;
    forwards.push({
      protocol: protocol === 'TCP' ? 'tcp' : 'udp',
      hostAddress: address === '*' ? '0.0.0.0' : address,
      ...{ hostPort: Number(hostPort), guestPort: Number(guestPort) },
    });
  }
  return forwards;
}
