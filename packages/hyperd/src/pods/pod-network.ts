import { HyperError, messageOf } from '../errors.ts';
import type { PodId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import type { Machine } from '../machines/machine.ts';
import type { AttachmentRequest } from '../networks/network.ts';
import { USER_MODE } from '../networks/network-plan.ts';
import type { Networks, PodLink } from '../networks/networks.ts';
import type { PortForwarder } from '../networks/port-forward.ts';
import { USER_MODE_ADDRESS, USER_MODE_DNS, userModeAddresses } from '../networks/user-mode.ts';
import { machinePorts } from './machine-ports.ts';
import type { InterfaceSpec, PodSpec } from './spec/pod-spec.ts';

/** The network as the files in a container's /etc tell it. */
export interface PodAddresses {
  readonly address: string;
  readonly nameServer: string;
  /** Whether the name server knows the pods of the network. */
  readonly knowsPods: boolean;
}

/** The network card's other end, for the life of one machine: a bridged network, or QEMU's own. */
export class PodNetwork {
  readonly #pod: PodId;
  readonly #networks: Networks;
  readonly #names: () => readonly string[];
  readonly #logger: Logger;
  #link: PodLink | undefined;

  constructor(pod: PodId, networks: Networks, names: () => readonly string[], logger: Logger) {
    this.#pod = pod;
    this.#networks = networks;
    this.#names = names;
    this.#logger = logger;
  }

  /** Whether the pod is on a bridged network. */
  get isBridged(): boolean {
    return this.#networks.attachmentOf(this.#pod) !== undefined;
  }

  /** With prefix length, while the pod has a machine. */
  get addresses(): readonly string[] {
    return this.#link ? [`${this.#link.guest.address}/${this.#link.guest.prefixLength}`] : userModeAddresses;
  }

  get forEtc(): PodAddresses {
    return this.#link
      ? { address: this.#link.guest.address, nameServer: this.#link.guest.gateway, knowsPods: true }
      : { address: USER_MODE_ADDRESS, nameServer: USER_MODE_DNS, knowsPods: false };
  }

  /** What a new machine is to be plugged into; undefined: QEMU's own network. Ended by `close`, after the machine. */
  async open(): Promise<PodLink | undefined> {
    this.#link = await this.#networks.link(this.#pod, this.#names);
    return this.#link;
  }

  /** For a machine that an earlier daemon has left running. */
  adopt(): void {
    this.#link = this.#networks.resume(this.#pod, this.#names);
  }

  ports(machine: Machine): PortForwarder {
    return this.#link?.ports ?? machinePorts(machine);
  }

  /** What cannot be removed now is removed with the pod, or by the next daemon. */
  async close(): Promise<void> {
    this.#link = undefined;
    try {
      await this.#networks.unlink(this.#pod);
    } catch (error) {
      this.#logger.warn({ pod: this.#pod, err: messageOf(error) }, 'disconnect pod from its network');
    }
  }
}

/** Where a pod of this specification is to be; undefined: in the user-mode network. Throws `unsupported`, `invalid-spec`. */
export function attachmentRequestOf(spec: PodSpec, networks: Networks): AttachmentRequest | undefined {
  const [card, ...others] = spec.interfaces;
  const refuse = (what: string): never => {
    throw new HyperError('unsupported', `create pod "${spec.id}": interfaces: ${what}`);
  };
  if (others.length > 0) refuse('a pod has one');
  const network = spec.network || bridgeNetwork(card, networks) || networks.defaultNetwork || USER_MODE;
  if (network === USER_MODE) {
    if (card && Object.values(card).some((value) => value !== '' && value !== 0))
      refuse('the user-mode network gives every pod the same; create a network, or configure Bridge');
    return undefined;
  }
  const found = networks.list().find(({ name }) => name === network);
  // Not as "not found", which tells clients of a missing image.
  if (!found)
    throw new HyperError(
      'invalid-spec',
      `create pod "${spec.id}": there is no network "${network.slice(0, 64)}"`,
    );
  const { gateway, subnet } = found;
  if (!card) return { pod: spec.id as PodId, network, address: '', mac: '', mtu: 0 };
  const { ip, mac, mtu, ifname } = card;
  if (ip.includes(',')) refuse(`ip is "${ip}": a pod has one address`);
  if (ifname !== '' && ifname !== 'eth0') refuse(`ifname is "${ifname}", want "eth0" or none`);
  if (card.gateway !== '' && card.gateway !== gateway)
    refuse(`gateway is "${card.gateway}", want the one of network "${network}": ${gateway}`);
  const [address = '', prefixLength] = ip.split('/');
  if (prefixLength !== undefined && prefixLength !== String(subnet.prefixLength))
    refuse(`ip is "${ip}", want prefix length ${subnet.prefixLength} as network "${network}" has it`);
  return { pod: spec.id as PodId, network, address, mac, mtu: Math.max(0, mtu) };
}

/** The network that a card names by its bridge, as the original has it. */
function bridgeNetwork(card: InterfaceSpec | undefined, networks: Networks): string | undefined {
  if (!card?.bridge) return undefined;
  const network = networks.networkOfBridge(card.bridge);
  if (network) return network;
  throw new HyperError(
    'invalid-spec',
    `find bridge "${card.bridge.slice(0, 64)}": no network of this daemon has it`,
  );
}
