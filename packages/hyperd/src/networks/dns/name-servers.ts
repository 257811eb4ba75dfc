import { messageOf } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import type { Attachment, Network } from '../network.ts';
import { contains } from '../subnet.ts';
import type { Names } from './answer.ts';
import { NameServer } from './name-server.ts';
import { Upstream } from './upstream.ts';

interface Member {
  readonly attachment: Attachment;
  /** The one that is nobody else's first. */
  readonly names: () => readonly string[];
}

/** The name servers of all networks, and the pods that they know: those that run. */
export class NameServers implements AsyncDisposable {
  readonly #logger: Logger;
  readonly #upstream = new Upstream();
  readonly #servers = new Map<number, NameServer>();
  readonly #members = new Map<number, Map<string, Member>>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** A network goes without where another server of the host has the port: that is logged. */
  async open(network: Network): Promise<void> {
    if (this.#servers.has(network.id)) return;
    const server = new NameServer(this.#namesOf(network), this.#upstream);
    try {
      await server.listen(network.gateway);
      this.#servers.set(network.id, server);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      this.#logger.error({ network: network.name, err: messageOf(error) }, 'pods are not found by name');
    }
  }

  async close({ id }: Network): Promise<void> {
    await this.#servers.get(id)?.[Symbol.asyncDispose]();
    this.#servers.delete(id);
    this.#members.delete(id);
  }

  join(attachment: Attachment, names: () => readonly string[]): void {
    const { network, address } = attachment;
    const members = this.#members.get(network.id) ?? new Map<string, Member>();
    members.set(address, { attachment, names });
    this.#members.set(network.id, members);
  }

  leave({ network, address }: Attachment): void {
    this.#members.get(network.id)?.delete(address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers.values()) await server[Symbol.asyncDispose]();
    this.#servers.clear();
  }

  #namesOf({ id, subnet, gateway }: Network): Names {
    const members = (): Member[] => [...(this.#members.get(id)?.values() ?? [])];
    return {
      addressesOf: (name) => {
        // Ids and names of containers are unique, host names are not: they count where nobody has a better claim.
        const isCalled = (member: Member, last: boolean): boolean => {
          const names = member.names().map((each) => each.toLowerCase());
          return (last ? names.slice(-1) : names.slice(0, -1)).includes(name);
        };
        const named = members().filter((member) => isCalled(member, false));
        const found = named.length > 0 ? named : members().filter((member) => isCalled(member, true));
        return found.map(({ attachment }) => attachment.address);
      },
      nameOf: (address) => {
        if (!contains(subnet, address) || address === gateway)
          return contains(subnet, address) ? undefined : null;
        return this.#members.get(id)?.get(address)?.names()[0];
      },
    };
  }
}
