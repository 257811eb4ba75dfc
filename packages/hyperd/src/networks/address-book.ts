import { isIPv4 } from 'node:net';
import { HyperError } from '../errors.ts';
import type { PodId } from '../ids.ts';
import { macOf } from './devices.ts';
import { type Attachment, type AttachmentRequest, MAX_FURTHER_NETWORKS, type Network } from './network.ts';
import type { NetworkRecords } from './network-records.ts';
import { cidrOf, isHostOf, nextAddress } from './subnet.ts';

/** Locally administered, or a maker's; not a group's. */
const UNICAST_MAC = /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/;
/** What IPv4 demands. */
const MIN_MTU = 68;

/** Who has which address on which network: recorded before it is used, and held until it is released. */
export class AddressBook {
  readonly #records: NetworkRecords;
  /** By card. */
  readonly #byPod = new Map<PodId, readonly Attachment[]>();
  /** Those whose pod has a machine. */
  readonly #linked = new Set<Attachment>();

  constructor(records: NetworkRecords) {
    this.#records = records;
    for (const attachment of records.attachments()) this.#add(attachment);
  }

  /** The places of a pod, by card. */
  of(pod: PodId): readonly Attachment[] {
    return this.#byPod.get(pod) ?? [];
  }

  all(): Attachment[] {
    return [...this.#byPod.values()].flat();
  }

  linked(): Attachment[] {
    return [...this.#linked];
  }

  link(attachment: Attachment): void {
    this.#linked.add(attachment);
  }

  unlink(attachment: Attachment): void {
    this.#linked.delete(attachment);
  }

  /**
   * `otherCards`: that cannot be had, besides those of the pod's places. Throws `invalid-argument`, `conflict` naming who has the address or
   * where the pod is on the network, `limit`.
   */
  reserve(
    network: Network,
    { pod, address, mac, mtu, access }: AttachmentRequest,
    otherCards: readonly number[] = [],
  ): Attachment {
    const taken = new Map<string, string>([[network.gateway, 'the bridge']]);
    const macs = new Map<string, string>();
    for (const other of this.all()) {
      if (other.network.id !== network.id) continue;
      taken.set(other.address, `pod "${other.pod}"`);
      macs.set(other.mac, `pod "${other.pod}"`);
    }
    const what = `give pod "${pod}" an address on network "${network.name}"`;
    if (this.of(pod).some((own) => own.network.id === network.id))
      throw new HyperError('conflict', `${what}: it is on it already`);
    const card = this.#freeCard(pod, otherCards);
    if (card === undefined)
      throw new HyperError(
        'limit',
        `${what}: it is on ${MAX_FURTHER_NETWORKS + 1} networks, which is all it can`,
      );
    const given = address === '' ? this.#choose(network, taken) : address;
    if (given === undefined)
      throw new HyperError('limit', `${what}: all of ${cidrOf(network.subnet)} are taken`);
    if (!isIPv4(given) || !isHostOf(network.subnet, given))
      throw new HyperError(
        'invalid-argument',
        `${what}: "${given}" is no address of a host in ${cidrOf(network.subnet)}`,
      );
    const holder = taken.get(given);
    if (holder) throw new HyperError('conflict', `${what}: ${holder} has ${given}`);
    const hardware = (mac || macOf(given)).toLowerCase();
    if (!UNICAST_MAC.test(hardware))
      throw new HyperError(
        'invalid-argument',
        `${what}: MAC address is "${mac}", want one such as 02:68:00:00:00:01`,
      );
    const twin = macs.get(hardware) ?? (hardware === macOf(network.gateway) ? 'the bridge' : undefined);
    if (twin) throw new HyperError('conflict', `${what}: ${twin} has the MAC address ${hardware}`);
    if (mtu !== 0 && (mtu < MIN_MTU || mtu > network.mtu))
      throw new HyperError(
        'invalid-argument',
        `${what}: mtu is ${mtu}, want ${MIN_MTU} to the network's ${network.mtu}`,
      );
    const attachment = this.#records.insertAttachment({
      ...{ pod, network, card, address: given, mac: hardware, mtu: mtu || network.mtu, access },
    });
    this.#add(attachment);
    return attachment;
  }

  release(attachment: Attachment): void {
    const { pod } = attachment;
    this.#records.removeAttachment(attachment);
    const left = this.of(pod).filter(({ id }) => id !== attachment.id);
    if (left.length > 0) this.#byPod.set(pod, left);
    else this.#byPod.delete(pod);
  }

  #add(attachment: Attachment): void {
    const places = [...this.of(attachment.pod), attachment];
    this.#byPod.set(
      attachment.pod,
      places.sort((a, b) => a.card - b.card),
    );
  }

  #freeCard(pod: PodId, others: readonly number[]): number | undefined {
    const taken = new Set([...this.of(pod).map(({ card }) => card), ...others]);
    for (let card = 0; card <= MAX_FURTHER_NETWORKS; card++) if (!taken.has(card)) return card;
    return undefined;
  }

  #choose(network: Network, taken: ReadonlyMap<string, string>): string | undefined {
    return nextAddress(network.subnet, this.#records.lastAddress(network), (address) => taken.has(address));
  }
}
