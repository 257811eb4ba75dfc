import { HyperError, isHyperError, messageOf } from '../errors.ts';
import type { GuestNetwork } from '../guest/index.ts';
import type { PodId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import type { State } from '../state/database.ts';
import { AddressBook } from './address-book.ts';
import { type Device, Devices, hostMtu, hostSubnets, isDeviceName, MAX_MTU, markOf } from './devices.ts';
import { NameServers } from './dns/name-servers.ts';
import { Filter } from './filter.ts';
import { mayChangeNetwork } from './host-tools.ts';
import type { Attachment, AttachmentRequest, Network, NetworkRequest } from './network.ts';
import { createNetworkRecords, type NetworkRecords } from './network-records.ts';
import type { PortForwarder } from './port-forward.ts';
import type { Port } from './ruleset.ts';
import { addressOf, cidrOf, isHostOf, numberOf, overlap, parseSubnet, type Subnet } from './subnet.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
/** What stands for QEMU's network in user space, and so cannot be a network's name. */
export const USER_MODE = 'user';
export const DEFAULT_NETWORK = 'default';
const MAX_NETWORKS = 256;
/** The smallest that IPv4 over Ethernet is used with here. */
const MIN_MTU = 576;

/** How the operator wants bridged networks. */
export interface BridgeSettings {
  /** Name of the default network's bridge; undefined: there is no default network. */
  readonly bridge: string | undefined;
  /** The bridge's address with prefix length. */
  readonly bridgeIp: string;
  /** False: no rules for IP are made. */
  readonly filters: boolean;
}

export interface NetworksOptions {
  readonly root: string;
  readonly state: State;
  readonly logger: Logger;
  readonly settings: BridgeSettings;
}

/** What a machine on a network needs. */
export interface PodLink {
  /** The device that its network card is plugged into. */
  readonly tap: string;
  readonly guest: GuestNetwork;
  readonly ports: PortForwarder;
}

/**
 * The bridged networks of the daemon. `open` is called first; then machines of an earlier daemon are taken up (`resume`), then `settle` removes
 * what belongs to nobody. Until the first network is made nothing of the host is touched, and no privilege is needed. Disposing of it leaves
 * networks and pods as they are, but for the name servers.
 */
export class Networks implements AsyncDisposable {
  readonly #logger: Logger;
  readonly #settings: BridgeSettings;
  readonly #records: NetworkRecords;
  readonly #addresses: AddressBook;
  readonly #devices: Devices;
  readonly #filter: Filter;
  readonly #names: NameServers;
  readonly #networks = new Map<string, Network>();
  /** Why networks cannot be used, where they cannot. */
  #fault: HyperError | undefined;
  #isOpen = false;

  constructor({ root, state, logger, settings }: NetworksOptions) {
    this.#logger = logger;
    this.#settings = settings;
    this.#records = createNetworkRecords(state);
    this.#addresses = new AddressBook(this.#records);
    const mark = markOf(root);
    this.#devices = new Devices(mark);
    this.#filter = new Filter(mark, settings);
    this.#names = new NameServers(logger);
    for (const network of this.#records.networks()) this.#networks.set(network.name, network);
  }

  /** Where pods are that name no network; undefined: in the user-mode network. */
  get defaultNetwork(): string | undefined {
    return this.#settings.bridge === undefined ? undefined : DEFAULT_NETWORK;
  }

  /** Has the recorded networks be there, and the default one. Rejects only where that one cannot be had. */
  async open(): Promise<void> {
    const { bridge, bridgeIp } = this.#settings;
    if (bridge !== undefined) {
      await this.#allow(`set up bridge "${bridge}"`);
      await this.#ensureDefault(bridge, bridgeIp);
    }
    if (this.#networks.size === 0) return;
    try {
      await this.#allow('set up networks');
      for (const network of this.#networks.values()) await this.#raise(network);
    } catch (error) {
      if (bridge !== undefined || !isHyperError(error)) throw error;
      this.#fault = error;
      this.#logger.error({ err: messageOf(error) }, 'bridged networks are out of order');
    }
  }

  /** Once pods are as they are to be: removes devices, rules and addresses of pods that are not there. */
  async settle(isKnown: (pod: PodId) => boolean): Promise<void> {
    for (const attachment of this.#addresses.all())
      if (!isKnown(attachment.pod)) await this.release(attachment.pod);
    if (!this.#isOpen) return;
    const wanted = new Set([
      ...[...this.#networks.values()].map(({ bridge }) => bridge),
      ...this.#addresses.linked().map((attachment) => this.#devices.tapName(attachment)),
    ]);
    for (const { name } of await this.#devices.ours()) {
      if (!wanted.has(name)) await this.#devices.removeDevice(name);
    }
    const addresses = new Set(this.#addresses.linked().map(({ address }) => address));
    await this.#filter.unpublish(this.#filter.published().filter(({ address }) => !addresses.has(address)));
  }

  /**
   * Makes a network. Throws `invalid-argument`, `conflict` for a name or addresses that are in use, `forbidden` where the daemon may not, and
   * `unavailable` with what the host's tools say.
   */
  async create(request: NetworkRequest): Promise<Network> {
    const { name, labels = {} } = request;
    if (!NAME.test(name) || name === USER_MODE)
      throw new HyperError(
        'invalid-argument',
        `create network "${name.slice(0, 64)}": want a name of [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 63 characters, other than "${USER_MODE}"`,
      );
    await this.#allow(`create network "${name}"`);
    if (this.#networks.size >= MAX_NETWORKS)
      throw new HyperError('limit', `create network "${name}": there are ${MAX_NETWORKS}`);
    const subnet = await this.#subnetFor(request);
    const gateway = gatewayOf(request, subnet);
    const mtu = mtuOf(request.mtu) ?? (await hostMtu());
    if (this.#networks.has(name))
      throw new HyperError('conflict', `create network "${name}": it exists already`);
    return this.#make({ name, subnet, gateway, mtu, labels }, (id) => this.#devices.bridgeName(id));
  }

  list(): readonly Network[] {
    return [...this.#networks.values()];
  }

  /** Throws `not-found`. */
  network(name: string): Network {
    const network = this.#networks.get(name);
    if (network) return network;
    throw new HyperError('not-found', `there is no network "${name.slice(0, 64)}"`);
  }

  /** The pods on a network, running or not. */
  attachmentsOf({ id }: Network): readonly Attachment[] {
    return this.#addresses.all().filter(({ network }) => network.id === id);
  }

  /** Removes a network that no pod is on. Throws `not-found`, `conflict` naming a pod, `precondition` for the default one. */
  async remove(name: string): Promise<void> {
    const network = this.network(name);
    if (name === this.defaultNetwork)
      throw new HyperError(
        'precondition',
        `remove network "${name}": the daemon is configured to have it (Bridge)`,
      );
    const [user] = this.attachmentsOf(network);
    if (user) throw new HyperError('conflict', `remove network "${name}": pod "${user.pod}" is on it`);
    await this.#allow(`remove network "${name}"`);
    this.#networks.delete(name);
    try {
      await this.#names.close(network);
      await this.#filter.removeNetwork(network);
      await this.#devices.removeDevice(network.bridge);
      this.#records.remove(network);
    } catch (error) {
      this.#networks.set(name, network); // to be removed again
      throw error;
    }
  }

  /**
   * Gives a pod its place, which it keeps until `release`. Throws `not-found`, `invalid-argument` or `conflict` for an address, `limit` where
   * none is left, and why networks cannot be used.
   */
  async reserve(request: AttachmentRequest): Promise<Attachment> {
    await this.#allow(`put pod "${request.pod}" on network "${request.network}"`);
    return this.#addresses.reserve(this.network(request.network), request);
  }

  attachmentOf(pod: PodId): Attachment | undefined {
    return this.#addresses.of(pod);
  }

  /** The name of the network whose bridge is so called. */
  networkOfBridge(bridge: string): string | undefined {
    return [...this.#networks.values()].find((network) => network.bridge === bridge)?.name;
  }

  /** Makes the device for a machine of the pod; `names`: what the pod is called at any time. Takes no other machine's away. */
  async link(pod: PodId, names: () => readonly string[]): Promise<PodLink | undefined> {
    const attachment = this.#addresses.of(pod);
    if (!attachment) return undefined;
    await this.#allow(`connect pod "${pod}" to network "${attachment.network.name}"`);
    const port = this.#portOf(attachment);
    await this.#devices.makeTap(attachment);
    await this.#filter.addPort(port); // before it is up: nothing gets through unchecked
    await this.#devices.setUp(port.tap);
    this.#addresses.link(attachment);
    return this.#join(attachment, names);
  }

  /** As `link`, for a machine that an earlier daemon has left running. */
  resume(pod: PodId, names: () => readonly string[]): PodLink | undefined {
    const attachment = this.#addresses.of(pod);
    if (!attachment) return undefined;
    this.#addresses.link(attachment);
    return this.#join(attachment, names);
  }

  /** Its machine is gone: removes device and rules. Repeatable. */
  async unlink(pod: PodId): Promise<void> {
    const attachment = this.#addresses.of(pod);
    if (!attachment) return;
    this.#names.leave(attachment);
    this.#addresses.unlink(attachment);
    if (!this.#isOpen) return;
    await this.#devices.removeDevice(this.#devices.tapName(attachment));
    const ports = this.#filter.forwarder(attachment.address);
    await ports.unforward(await ports.forwarded());
    await this.#filter.removePort(this.#portOf(attachment));
  }

  /** Takes the place of a pod that is being removed. Repeatable. */
  async release(pod: PodId): Promise<void> {
    await this.unlink(pod);
    this.#addresses.release(pod);
  }

  /**
   * Removes every device and rule of this root; rows stay, so that the next daemon makes them again. Resolves with what was removed. Throws
   * `conflict` while machines use them, `forbidden`.
   */
  async cleanUp(): Promise<readonly Device[]> {
    await this.#require('clean up');
    const devices = await this.#devices.ours();
    const used = devices.filter(({ kind, isInUse }) => kind === 'tap' && isInUse);
    if (used.length > 0)
      throw new HyperError(
        'conflict',
        `clean up: ${used.length} running pods are on bridged networks; stop them first`,
      );
    for (const { name } of devices) await this.#devices.removeDevice(name);
    await this.#filter.removeTables();
    return devices;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#names[Symbol.asyncDispose]();
  }

  #join(attachment: Attachment, names: () => readonly string[]): PodLink {
    const { network, address, mac, mtu } = attachment;
    this.#names.join(attachment, names);
    return {
      tap: this.#devices.tapName(attachment),
      guest: {
        ...{ mac, address, prefixLength: network.subnet.prefixLength, gateway: network.gateway, mtu },
        ...{ address6: '', prefixLength6: 0, gateway6: '' },
      },
      ports: this.#filter.forwarder(address),
    };
  }

  #portOf(attachment: Attachment): Port {
    return { tap: this.#devices.tapName(attachment), mac: attachment.mac, address: attachment.address };
  }

  /** Throws why bridged networks cannot be used, and makes the tables with their first use. */
  async #allow(action: string): Promise<void> {
    if (this.#fault) throw this.#fault;
    if (this.#isOpen) return;
    await this.#require(action);
    await this.#filter.open();
    this.#isOpen = true;
  }

  async #require(action: string): Promise<void> {
    if (await mayChangeNetwork()) return;
    throw new HyperError(
      'forbidden',
      `${action}: bridged networks need root (CAP_NET_ADMIN), and the daemon has not; run it as root, or use the "${USER_MODE}" network`,
    );
  }

  async #ensureDefault(bridge: string, bridgeIp: string): Promise<void> {
    const subnet = parseSubnet(bridgeIp, 'BridgeIP');
    const [address = ''] = bridgeIp.split('/');
    const gateway = isHostOf(subnet, address) ? address : addressOf(subnet.base + 1);
    const known = this.#networks.get(DEFAULT_NETWORK);
    if (
      known &&
      known.bridge === bridge &&
      cidrOf(known.subnet) === cidrOf(subnet) &&
      known.gateway === gateway
    )
      return;
    if (known) {
      const [user] = this.attachmentsOf(known);
      if (user)
        throw new HyperError(
          'conflict',
          `change the default network from ${known.bridge}, ${cidrOf(known.subnet)}: pod "${user.pod}" is on it; remove it first`,
        );
      await this.#devices.removeDevice(known.bridge);
      await this.#filter.removeNetwork(known);
      this.#records.remove(known);
      this.#networks.delete(DEFAULT_NETWORK);
    }
    await this.#requireFree(subnet, DEFAULT_NETWORK, bridge);
    const mtu = await hostMtu();
    await this.#make({ name: DEFAULT_NETWORK, subnet, gateway, mtu, labels: {} }, () => bridge);
  }

  async #make(
    network: Omit<Network, 'id' | 'bridge' | 'createdAt'>,
    bridge: (id: number) => string,
  ): Promise<Network> {
    const made = this.#records.insert({ ...network, createdAt: Date.now() }, bridge);
    this.#networks.set(made.name, made);
    try {
      await this.#raise(made);
      return made;
    } catch (error) {
      this.#networks.delete(made.name);
      await this.#filter.removeNetwork(made);
      await this.#devices.removeDevice(made.bridge);
      this.#records.remove(made);
      throw error;
    }
  }

  /** Rules first: no packet goes through a bridge without them. */
  async #raise(network: Network): Promise<void> {
    await this.#filter.addNetwork(network);
    await this.#devices.ensureBridge(network);
    await this.#names.open(network);
  }

  async #subnetFor({ name, subnet: text }: NetworkRequest): Promise<Subnet> {
    if (text !== undefined) {
      const subnet = parseSubnet(text);
      await this.#requireFree(subnet, name, undefined);
      return subnet;
    }
    const taken = [
      ...this.list().map(({ subnet }) => subnet),
      ...(await hostSubnets()).map(({ subnet }) => subnet),
    ];
    for (const subnet of POOL) if (!taken.some((other) => overlap(other, subnet))) return subnet;
    throw new HyperError('limit', `create network "${name}": no subnet of the pool is free; give one`);
  }

  async #requireFree(subnet: Subnet, name: string, bridge: string | undefined): Promise<void> {
    const what = `create network "${name}" of ${cidrOf(subnet)}`;
    const other = this.list().find((network) => overlap(network.subnet, subnet));
    if (other)
      throw new HyperError('conflict', `${what}: network "${other.name}" has ${cidrOf(other.subnet)}`);
    const route = (await hostSubnets()).find(
      (known) => known.device !== bridge && overlap(known.subnet, subnet),
    );
    if (route)
      throw new HyperError(
        'conflict',
        `${what}: the host reaches ${cidrOf(route.subnet)} through ${route.device}`,
      );
  }
}

/** Subnets for networks that ask for none: 192.168.124.0/24 to 192.168.254.0/24. */
const POOL: readonly Subnet[] = Array.from({ length: 131 }, (_, index) => ({
  ...{ base: numberOf(`192.168.${124 + index}.0`), prefixLength: 24 },
}));

function gatewayOf({ name, gateway }: NetworkRequest, subnet: Subnet): string {
  if (gateway === undefined) return addressOf(subnet.base + 1);
  if (/^[\d.]+$/.test(gateway) && isHostOf(subnet, gateway)) return gateway;
  throw new HyperError(
    'invalid-argument',
    `create network "${name}": gateway is "${gateway.slice(0, 64)}", want an address of a host in ${cidrOf(subnet)}`,
  );
}

function mtuOf(mtu: number | undefined): number | undefined {
  if (mtu === undefined || (Number.isInteger(mtu) && mtu >= MIN_MTU && mtu <= MAX_MTU)) return mtu;
  throw new HyperError('invalid-argument', `create network: mtu is ${mtu}, want ${MIN_MTU} to ${MAX_MTU}`);
}

/** Throws `invalid-argument` for what cannot be a bridge's name. */
export function checkBridgeName(name: string): void {
  if (isDeviceName(name)) return;
  throw new HyperError(
    'invalid-argument',
    `use bridge "${name.slice(0, 64)}": want at most 15 characters of a-zA-Z0-9_.-`,
  );
}
