import { HyperError, messageOf } from '../errors.ts';
import type { PodId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import type { Machine } from '../machines/machine.ts';
import type { Access, Attachment, AttachmentRequest } from '../networks/network.ts';
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

/** What a pod asks for that is to be on one more network. */
export type ConnectRequest = Omit<AttachmentRequest, 'pod'>;

/** The other ends of the network cards, for the life of one machine: bridged networks, or QEMU's own. */
export class PodNetwork {
  readonly #pod: PodId;
  readonly #networks: Networks;
  readonly #names: () => readonly string[];
  readonly #logger: Logger;
  /** Of the card that the machine is made with. */
  #link: PodLink | undefined;

  constructor(pod: PodId, networks: Networks, names: () => readonly string[], logger: Logger) {
    this.#pod = pod;
    this.#networks = networks;
    this.#names = names;
    this.#logger = logger;
  }

  /** Whether the pod is on a bridged network. */
  get isBridged(): boolean {
    return this.#places.length > 0;
  }

  /** With prefix length, while the pod has a machine. */
  get addresses(): readonly string[] {
    if (!this.isBridged) return userModeAddresses;
    return this.#places.map(({ address, network }) => `${address}/${network.subnet.prefixLength}`);
  }

  get forEtc(): PodAddresses {
    return this.#link
      ? { address: this.#link.guest.address, nameServer: this.#link.guest.gateway, knowsPods: true }
      : { address: USER_MODE_ADDRESS, nameServer: USER_MODE_DNS, knowsPods: false };
  }

  /** What a new machine is to be plugged into; undefined: QEMU's own network. Ended by `close`, after the machine. */
  async open(): Promise<PodLink | undefined> {
    const [first] = this.#places;
    this.#link = first && (await this.#networks.link(first, this.#names));
    return this.#link;
  }

  /** Plugs the cards of the pod's further networks into the new machine. */
  async openOthers(machine: Machine): Promise<void> {
    for (const place of this.#places.slice(1)) await this.#plug(place, machine);
  }

  /** For a machine that an earlier daemon has left running, perhaps in the middle of plugging a card. */
  async adopt(machine: Machine): Promise<void> {
    const [first, ...others] = this.#places;
    if (!first) return;
    this.#link = this.#networks.resume(first, this.#names);
    if (others.length === 0) return;
    const plugged = await machine.cards();
    for (const place of others) {
      if (!plugged.includes(place.card)) await this.#plug(place, machine);
      else await machine.configureCard(this.#networks.resume(place, this.#names).guest);
    }
  }

  /** Puts the pod on one more network; `machine`: undefined while it has none. Nothing is left of what fails. */
  async connect(request: ConnectRequest, machine: Machine | undefined): Promise<void> {
    if (!this.isBridged)
      throw new HyperError(
        'precondition',
        `connect pod "${this.#pod}" to network "${request.network}": it is in the user-mode network, and cannot be on others; create it on a bridged one`,
      );
    const plugged = (await machine?.cards()) ?? [];
    const place = await this.#networks.reserve({ ...request, pod: this.#pod }, plugged);
    if (!machine) return;
    try {
      await this.#plug(place, machine);
    } catch (error) {
      await this.#networks.release(place);
      throw error;
    }
  }

  /** Takes the pod off a network: at once, whatever its guest makes of that. Throws `not-found`, `precondition` for its first one. */
  async disconnect(network: string, machine: Machine | undefined): Promise<void> {
    const place = this.#places.find((candidate) => candidate.network.name === network);
    const what = `disconnect pod "${this.#pod}" from network "${network.slice(0, 64)}"`;
    if (!place) throw new HyperError('not-found', `${what}: it is not on it`);
    if (place.card === 0)
      throw new HyperError('precondition', `${what}: it was created on it, and leaves it when it is removed`);
    await this.#networks.unlink(place);
    try {
      await machine?.unplugCard(place.card, place.mac);
    } catch (error) {
      this.#logger.warn(
        { pod: this.#pod, network, err: messageOf(error) },
        'unplug network card; it leads nowhere now, and goes with the machine',
      );
    }
    await this.#networks.release(place);
  }

  ports(machine: Machine): PortForwarder {
    return this.#link?.ports ?? machinePorts(machine);
  }

  /** What cannot be removed now is removed with the pod, or by the next daemon. */
  async close(): Promise<void> {
    this.#link = undefined;
    try {
      for (const place of this.#places) await this.#networks.unlink(place);
    } catch (error) {
      this.#logger.warn({ pod: this.#pod, err: messageOf(error) }, 'disconnect pod from its networks');
    }
  }

  get #places(): readonly Attachment[] {
    return this.#networks.placesOf(this.#pod);
  }

  async #plug(place: Attachment, machine: Machine): Promise<void> {
    await machine.plugCard(place.card, await this.#networks.link(place, this.#names));
  }
}

/**
 * Where a pod of this specification is to be, the place that leads to the world first; none: in the user-mode network. Throws `unsupported`,
 * `invalid-spec`.
 */
export function attachmentRequestsOf(spec: PodSpec, networks: Networks): AttachmentRequest[] {
  const [card, ...others] = spec.interfaces;
  const network = spec.network || bridgeNetwork(card, networks) || networks.defaultNetwork || USER_MODE;
  if (network === USER_MODE) {
    const isPlain = (each: InterfaceSpec): boolean =>
      Object.values(each).every((value) => value === '' || value === 0);
    if (others.length > 0 || (card && !isPlain(card)))
      throw refusal(
        spec,
        'the user-mode network gives every pod the same; create a network, or configure Bridge',
      );
    if (accessOf(spec))
      throw new HyperError(
        'unsupported',
        `create pod "${spec.id}": portmappingWhiteLists: nothing filters packets in the user-mode network; put the pod on a bridged one, or publish on an address (hostIP) that only the wanted networks reach`,
      );
    return [];
  }
  if (accessOf(spec) && !networks.filters)
    throw new HyperError(
      'unsupported',
      `create pod "${spec.id}": portmappingWhiteLists: the daemon runs with --noniptables (DisableIptables), which leaves that to the operator`,
    );
  const further = others.map((other, index) => {
    const name = bridgeNetwork(other, networks);
    if (name) return requestOf(spec, { name, card: other, number: index + 1 }, networks);
    throw refusal(spec, `the further one ${index + 1} names no bridge`);
  });
  return [requestOf(spec, { name: network, card, number: 0 }, networks), ...further];
}

function requestOf(
  spec: PodSpec,
  wanted: { readonly name: string; readonly card: InterfaceSpec | undefined; readonly number: number },
  networks: Networks,
): AttachmentRequest {
  const { id } = spec;
  const { name, card, number } = wanted;
  const found = networks.list().find((network) => network.name === name);
  // Not as "not found", which tells clients of a missing image.
  if (!found)
    throw new HyperError('invalid-spec', `create pod "${id}": there is no network "${name.slice(0, 64)}"`);
  const { gateway, subnet } = found;
  const place = { pod: id as PodId, network: name, access: accessOf(spec) };
  if (!card) return { ...place, address: '', mac: '', mtu: 0 };
  const { ip, mac, mtu, ifname } = card;
  if (ip.includes(',')) throw refusal({ id }, `ip is "${ip}": a card has one address`);
  if (ifname !== '' && ifname !== `eth${number}`)
    throw refusal({ id }, `ifname is "${ifname}", want "eth${number}" or none`);
  if (card.gateway !== '' && card.gateway !== gateway)
    throw refusal({ id }, `gateway is "${card.gateway}", want the one of network "${name}": ${gateway}`);
  const [address = '', prefixLength] = ip.split('/');
  if (prefixLength !== undefined && prefixLength !== String(subnet.prefixLength))
    throw refusal(
      { id },
      `ip is "${ip}", want prefix length ${subnet.prefixLength} as network "${name}" has it`,
    );
  return { ...place, address, mac, mtu: Math.max(0, mtu) };
}

/** Who alone may connect to the pod; undefined: it does not say. As in the original, both lists have to be given. */
export function accessOf({ portMappingWhiteLists }: PodSpec): Access | undefined {
  const { internalNetworks, externalNetworks } = portMappingWhiteLists;
  if (internalNetworks.length === 0 || externalNetworks.length === 0) return undefined;
  return { internal: internalNetworks, external: externalNetworks };
}

function refusal({ id }: Pick<PodSpec, 'id'>, what: string): HyperError {
  return new HyperError('unsupported', `create pod "${id}": interfaces: ${what}`);
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
