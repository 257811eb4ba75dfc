import { messageOf } from '../../errors.ts';
import type { PodId } from '../../ids.ts';
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
  /** By network, then by address. */
  readonly #members = new Map<number, Map<string, Member>>();
  readonly #networksOf = new Map<PodId, Set<Network>>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** A network goes without where another server of the host has the port: that is logged. */
  async open(network: Network): Promise<void> {
    if (this.#servers.has(network.id)) return;
    const server = new NameServer((from) => this.#namesFor(network, from), this.#upstream);
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
    const { network, address, pod } = attachment;
    const members = this.#members.get(network.id) ?? new Map<string, Member>();
    members.set(address, { attachment, names });
    this.#members.set(network.id, members);
    this.#networksOf.set(pod, (this.#networksOf.get(pod) ?? new Set()).add(network));
  }

  leave({ network, address, pod }: Attachment): void {
    this.#members.get(network.id)?.delete(address);
    const networks = this.#networksOf.get(pod);
    networks?.delete(network);
    if (networks?.size === 0) this.#networksOf.delete(pod);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers.values()) await server[Symbol.asyncDispose]();
    this.#servers.clear();
  }

  /** What a pod gets to know: of the network that it asks on first, then of the others that it is on. */
  #namesFor(network: Network, from: string): Names {
    const asker = this.#members.get(network.id)?.get(from)?.attachment.pod;
    const networks = new Set([network, ...((asker && this.#networksOf.get(asker)) ?? [])]);
    return {
      addressesOf: (name) => {
        for (const { id } of networks) {
          const found = called(name, [...(this.#members.get(id)?.values() ?? [])]);
          if (found.length > 0) return found.map(({ attachment }) => attachment.address);
        }
        return [];
      },
      nameOf: (address) => {
        const home = [...networks].find(({ subnet }) => contains(subnet, address));
        return home ? this.#members.get(home.id)?.get(address)?.names()[0] : null;
      },
    };
  }
}

/** Ids and names of containers are unique, host names are not: they count where nobody has a better claim. */
function called(name: string, members: readonly Member[]): readonly Member[] {
  const isCalled = (member: Member, last: boolean): boolean => {
    const names = member.names().map((each) => each.toLowerCase());
    return (last ? names.slice(-1) : names.slice(0, -1)).includes(name);
  };
  const named = members.filter((member) => isCalled(member, false));
  return named.length > 0 ? named : members.filter((member) => isCalled(member, true));
}
