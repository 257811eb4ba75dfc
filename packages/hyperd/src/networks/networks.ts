import { HyperError, isHyperError, messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import type { GuestNetwork } from '../guest/index.ts';
import type { PodId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import type { State } from '../state/database.ts';
import type { Ailment } from '../upkeep/index.ts';
import { AddressBook } from './address-book.ts';
import { type Device, Devices, markOf } from './devices.ts';
import { NameServers } from './dns/name-servers.ts';
import { DockerUser } from './docker-user.ts';
import { examineNetworks } from './examine-networks.ts';
import { Filter } from './filter.ts';
import { hasHostTool, mayChangeNetwork } from './host-tools.ts';
import type { Attachment, AttachmentRequest, Network, NetworkRequest } from './network.ts';
import { type NetworkPlan, planNetwork, USER_MODE } from './network-plan.ts';
import { createNetworkRecords, type NetworkRecords } from './network-records.ts';
import type { PortForwarder } from './port-forward.ts';
import type { Port } from './ruleset.ts';
import { addressOf, cidrOf, isHostOf, parseSubnet } from './subnet.ts';

export const DEFAULT_NETWORK = 'default';
const MAX_NETWORKS = 256;

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
  readonly events: Events;
}

/** What a machine on a network needs. */
export interface PodLink {
  /** The device that its network card is plugged into. */
  readonly tap: string;
  /** The number of that card: see `Attachment`. */
  readonly card: number;
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
  readonly #events: Events;
  readonly #records: NetworkRecords;
  readonly #addresses: AddressBook;
  readonly #devices: Devices;
  readonly #filter: Filter;
  readonly #dockerUser: DockerUser;
  readonly #names: NameServers;
  readonly #networks = new Map<string, Network>();
  #changes: Promise<unknown> = Promise.resolve();
  /** Why networks cannot be used, where they cannot. */
  #fault: HyperError | undefined;
  #isOpen = false;

  constructor({ root, state, logger, settings, events }: NetworksOptions) {
    this.#logger = logger;
    this.#settings = settings;
    this.#events = events;
    this.#records = createNetworkRecords(state);
    this.#addresses = new AddressBook(this.#records);
    const mark = markOf(root);
    this.#devices = new Devices(mark);
    this.#filter = new Filter(mark, settings);
    this.#dockerUser = new DockerUser(mark);
    this.#names = new NameServers(logger);
    for (const network of this.#records.networks()) this.#networks.set(network.name, network);
  }

  /** Where pods are that name no network; undefined: in the user-mode network. */
  get defaultNetwork(): string | undefined {
    return this.#settings.bridge === undefined ? undefined : DEFAULT_NETWORK;
  }

  /** False: the operator sees to rules for IP. */
  get filters(): boolean {
    return this.#settings.filters;
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

  /**
   * Once pods are as they are to be: removes devices, rules and addresses of pods that are not there, and sees to it that those that are have
   * theirs: somebody may have emptied the host's packet filter.
   */
  async settle(isKnown: (pod: PodId) => boolean): Promise<void> {
    for (const attachment of this.#addresses.all())
      if (!isKnown(attachment.pod)) await this.release(attachment);
    if (!this.#isOpen) return;
    const wanted = new Set([
      ...[...this.#networks.values()].map(({ bridge }) => bridge),
      ...this.#addresses.linked().map((attachment) => this.#devices.tapName(attachment)),
    ]);
    for (const { name } of await this.#devices.ours()) {
      if (!wanted.has(name)) await this.#devices.removeDevice(name);
    }
    await this.#filter.addPorts(this.#addresses.linked().map((attachment) => this.#portOf(attachment)));
    const addresses = new Set(this.#addresses.linked().map(({ address }) => address));
    await this.#filter.unpublish(this.#filter.published().filter(({ address }) => !addresses.has(address)));
  }

  /**
   * Makes a network. Throws `invalid-argument`, `conflict` for a name or addresses that are in use, `forbidden` where the daemon may not, and
   * `unavailable` with what the host's tools say.
   */
  async create(request: NetworkRequest): Promise<Network> {
    const what = `create network "${request.name.slice(0, 64)}"`;
    await this.#allow(what);
    return this.#inTurn(async () => {
      if (this.#networks.size >= MAX_NETWORKS)
        throw new HyperError('limit', `${what}: there are ${MAX_NETWORKS}`);
      const plan = await planNetwork(request, this.list());
      const made = await this.#make(plan, (id) => this.#devices.bridgeName(id));
      this.#events.network(made, 'create');
      return made;
    });
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
    this.network(name);
    await this.#allow(`remove network "${name}"`);
    await this.#inTurn(() => this.#remove(name));
  }

  /**
   * Gives a pod a place, which it keeps until `release`. `otherCards`: numbers that its machine has no card to plug for. Throws `not-found`,
   * `invalid-argument` or `conflict` for an address, `limit` where none is left, and why networks cannot be used.
   */
  async reserve(request: AttachmentRequest, otherCards: readonly number[] = []): Promise<Attachment> {
    await this.#allow(`put pod "${request.pod}" on network "${request.network}"`);
    const attachment = this.#addresses.reserve(this.network(request.network), request, otherCards);
    const { pod, address, network } = attachment;
    this.#events.network(network, 'connect', { pod, address });
    return attachment;
  }

  /** The places of a pod, by card; none: it is in the user-mode network. */
  placesOf(pod: PodId): readonly Attachment[] {
    return this.#addresses.of(pod);
  }

  /** The name of the network whose bridge is so called. */
  networkOfBridge(bridge: string): string | undefined {
    return [...this.#networks.values()].find((network) => network.bridge === bridge)?.name;
  }

  /** Makes the device for a machine of the pod; `names`: what the pod is called at any time. */
  async link(attachment: Attachment, names: () => readonly string[]): Promise<PodLink> {
    await this.#allow(`connect pod "${attachment.pod}" to network "${attachment.network.name}"`);
    const port = this.#portOf(attachment);
    await this.#devices.makeTap(attachment);
    await this.#filter.addPorts([port]); // before it is up: nothing gets through unchecked
    await this.#devices.setUp(port.tap);
    return this.resume(attachment, names);
  }

  /** As `link`, for a machine that an earlier daemon has left running. */
  resume(attachment: Attachment, names: () => readonly string[]): PodLink {
    this.#addresses.link(attachment);
    this.#names.join(attachment, names);
    const { network, card, address, mac, mtu } = attachment;
    return {
      ...{ tap: this.#devices.tapName(attachment), card },
      guest: {
        ...{ mac, address, prefixLength: network.subnet.prefixLength, mtu },
        gateway: card === 0 ? network.gateway : '',
        ...{ address6: '', prefixLength6: 0, gateway6: '' },
      },
      ports: this.#filter.forwarder(address),
    };
  }

  /** Its machine is gone, or is not to be on the network any more: removes device and rules. Repeatable. */
  async unlink(attachment: Attachment): Promise<void> {
    this.#names.leave(attachment);
    this.#addresses.unlink(attachment);
    if (!this.#isOpen) return;
    await this.#devices.removeDevice(this.#devices.tapName(attachment));
    const ports = this.#filter.forwarder(attachment.address);
    await ports.unforward(await ports.forwarded());
    await this.#filter.removePort(this.#portOf(attachment));
  }

  /** Takes a place back from a pod. */
  async release(attachment: Attachment): Promise<void> {
    await this.unlink(attachment);
    this.#addresses.release(attachment);
    this.#events.network(attachment.network, 'disconnect', { pod: attachment.pod });
  }

  /** Takes the places of a pod that is being removed. Repeatable. */
  async releaseAll(pod: PodId): Promise<void> {
    for (const attachment of this.placesOf(pod)) await this.release(attachment);
  }

  /** What of bridged networks is out of joint on the host; nothing where it may not be looked at. */
  async examine(): Promise<Ailment[]> {
    const canHaveMadeAny = hasHostTool('ip') && (await mayChangeNetwork());
    if (this.#networks.size === 0 && !canHaveMadeAny) return [];
    const bridges = [...this.#networks.values()].map(({ bridge }) => bridge);
    const tapsOf = (all: readonly Attachment[]): string[] => all.map((one) => this.#devices.tapName(one));
    return examineNetworks({
      fault: this.#fault?.message,
      devices: await this.#devices.ours(),
      bridges: new Set(this.#isOpen ? bridges : []),
      taps: { running: tapsOf(this.#addresses.linked()), all: new Set(tapsOf(this.#addresses.all())) },
      hasTables: !this.#isOpen || (await this.#filter.isThere()),
      remove: (device) => this.#devices.removeDevice(device),
      raise: () => this.#inTurn(() => this.#raiseAll()),
    });
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
    await this.#dockerUser.withdraw();
    return devices;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#names[Symbol.asyncDispose]();
  }

  #portOf(attachment: Attachment): Port {
    const { mac, address, access } = attachment;
    return { tap: this.#devices.tapName(attachment), mac, address, access };
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
    const wanted = `${bridge} ${gateway} ${cidrOf(subnet)}`;
    const known = this.#networks.get(DEFAULT_NETWORK);
    if (known) {
      const found = `${known.bridge} ${known.gateway} ${cidrOf(known.subnet)}`;
      if (found === wanted) return;
      const [user] = this.attachmentsOf(known);
      if (user)
        throw new HyperError(
          'conflict',
          `change the default network from "${found}" to "${wanted}": pod "${user.pod}" is on it; configure it as it was, and remove the pod first`,
        );
      await this.#devices.removeDevice(known.bridge);
      await this.#removeRules(known);
      this.#records.remove(known);
      this.#networks.delete(DEFAULT_NETWORK);
    }
    const request = { name: DEFAULT_NETWORK, subnet: cidrOf(subnet), gateway };
    await this.#make(await planNetwork(request, this.list(), bridge), () => bridge);
  }

  async #remove(name: string): Promise<void> {
    const network = this.network(name);
    if (name === this.defaultNetwork)
      throw new HyperError(
        'precondition',
        `remove network "${name}": the daemon is configured to have it (Bridge)`,
      );
    const [user] = this.attachmentsOf(network);
    if (user) throw new HyperError('conflict', `remove network "${name}": pod "${user.pod}" is on it`);
    this.#networks.delete(name);
    try {
      await this.#names.close(network);
      await this.#removeRules(network);
      await this.#devices.removeDevice(network.bridge);
      this.#records.remove(network);
      this.#events.network(network, 'destroy');
    } catch (error) {
      this.#networks.set(name, network); // to be removed again
      throw error;
    }
  }

  /** Networks are made and removed one after the other: each is to see what the others have. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(work);
    this.#changes = result.catch(() => undefined); // told to the caller; the next in line does not care
    return result;
  }

  async #make(network: NetworkPlan, bridge: (id: number) => string): Promise<Network> {
    const made = this.#records.insert({ ...network, createdAt: Date.now() }, bridge);
    this.#networks.set(made.name, made);
    try {
      await this.#raise(made);
      return made;
    } catch (error) {
      this.#networks.delete(made.name);
      await this.#removeRules(made);
      await this.#devices.removeDevice(made.bridge);
      this.#records.remove(made);
      throw error;
    }
  }

  /** What somebody has taken away of networks is made again. */
  async #raiseAll(): Promise<void> {
    await this.#filter.open();
    for (const network of this.#networks.values()) await this.#raise(network);
    const linked = this.#addresses.linked();
    await this.#filter.addPorts(linked.map((attachment) => this.#portOf(attachment)));
  }

  /** Rules first: no packet goes through a bridge without them. */
  async #raise(network: Network): Promise<void> {
    await this.#filter.addNetwork(network);
    await this.#devices.ensureBridge(network);
    if (this.#settings.filters) await this.#dockerUser.admit(network.bridge);
    await this.#names.open(network);
  }

  async #removeRules(network: Network): Promise<void> {
    await this.#filter.removeNetwork(network);
    await this.#dockerUser.withdraw(network.bridge);
  }
}
