export type PortProtocol = 'tcp' | 'udp';

/** A port of the host. */
export interface HostPort {
  readonly protocol: PortProtocol;
  /** IPv4; 0.0.0.0: on every address of the host. */
  readonly hostAddress: string;
  readonly hostPort: number;
}

/** A port of the host that leads to one of a machine. */
export interface PortForward extends HostPort {
  readonly guestPort: number;
}

/** Lets ports of the host lead to one machine. */
export interface PortForwarder {
  /** Where it rejects, some of them may be forwarded. Rejects `unavailable` where one cannot be had. */
  forward(ports: readonly PortForward[]): Promise<void>;
  /** Those that are not forwarded are left as they are. */
  unforward(ports: readonly PortForward[]): Promise<void>;
  /** What is forwarded now. */
  forwarded(): Promise<PortForward[]>;
}

/** True when both are the same port to a client: on one address, or one of them on all. */
export function overlaps(a: HostPort, b: HostPort): boolean {
  if (a.protocol !== b.protocol || a.hostPort !== b.hostPort) return false;
  return a.hostAddress === b.hostAddress || [a.hostAddress, b.hostAddress].includes(EVERY_ADDRESS);
}

export const EVERY_ADDRESS = '0.0.0.0';

/** `tcp port 8080`, with the address where it is one. */
export function hostPortText({ protocol, hostAddress, hostPort }: HostPort): string {
  return `${protocol} port ${hostPort}${hostAddress === EVERY_ADDRESS ? '' : ` of ${hostAddress}`}`;
}
