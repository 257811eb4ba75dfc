import { HyperError } from '../errors.ts';
import { type HostPort, hostPortText, overlaps } from './port-forward.ts';

interface Claim extends HostPort {
  readonly owner: string;
}

/**
 * Which ports of the host are published, and for which pod. Held in memory: at the daemon's start the pods that go on claim theirs again.
 * What other processes hold is not known here; see `requireFree`.
 */
export class HostPorts {
  readonly #claims = new Map<number, readonly Claim[]>();
  /** Where ports are published that name no address. */
  readonly defaultAddress: string;

  constructor(defaultAddress: string) {
    this.defaultAddress = defaultAddress;
  }

  /** The pod that has `port`, or one that would be in its way. */
  holderOf(port: HostPort): string | undefined {
    return this.#at(port.hostPort).find((claim) => overlaps(claim, port))?.owner;
  }

  /** Claims all of `ports` for a pod, or none. Throws `conflict`, naming the port and the pod that has it. */
  claim(owner: string, ports: readonly HostPort[]): void {
    const claimed: HostPort[] = [];
    for (const port of ports) {
      const holder = this.holderOf(port);
      if (holder !== undefined) {
        this.release(owner, claimed);
        throw new HyperError('conflict', conflictText(port, owner, holder));
      }
      this.#claims.set(port.hostPort, [...this.#at(port.hostPort), { ...port, owner }]);
      claimed.push(port);
    }
  }

  /** Gives up those claims of the pod; what it does not have is left alone. */
  release(owner: string, ports: readonly HostPort[]): void {
    for (const { protocol, hostAddress, hostPort } of ports) {
      const left = this.#at(hostPort).filter(
        (claim) => claim.owner !== owner || claim.protocol !== protocol || claim.hostAddress !== hostAddress,
      );
      if (left.length > 0) this.#claims.set(hostPort, left);
      else this.#claims.delete(hostPort);
    }
  }

  #at(hostPort: number): readonly Claim[] {
    return this.#claims.get(hostPort) ?? [];
  }
}

function conflictText(port: HostPort, owner: string, holder: string): string {
  const what = `publish ${hostPortText(port)} of the host for pod "${owner}"`;
  return holder === owner ? `${what}: the pod maps it already` : `${what}: pod "${holder}" has it`;
}
