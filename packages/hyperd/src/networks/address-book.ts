import { isIPv4 } from 'node:net';
import { HyperError } from '../errors.ts';
import type { PodId } from '../ids.ts';
import { macOf } from './devices.ts';
import type { Attachment, AttachmentRequest, Network } from './network.ts';
import type { NetworkRecords } from './network-records.ts';
import { cidrOf, isHostOf, nextAddress } from './subnet.ts';

/** Locally administered, or a maker's; not a group's. */
const UNICAST_MAC = /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/;
/** What IPv4 demands. */
const MIN_MTU = 68;

/** Who has which address on which network: recorded before it is used, and held until it is released. */
export class AddressBook {
  readonly #records: NetworkRecords;
  readonly #byPod = new Map<PodId, Attachment>();
  /** Those whose pod has a machine. */
  readonly #linked = new Set<Attachment>();

  constructor(records: NetworkRecords) {
    this.#records = records;
    for (const attachment of records.attachments()) this.#byPod.set(attachment.pod, attachment);
  }

  of(pod: PodId): Attachment | undefined {
    return this.#byPod.get(pod);
  }

  all(): Attachment[] {
    return [...this.#byPod.values()];
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

  /** Throws `invalid-argument`, `conflict` naming who has the address, `limit`. */
  reserve(network: Network, { pod, address, mac, mtu }: AttachmentRequest): Attachment {
    const taken = new Map<string, string>([[network.gateway, 'the bridge']]);
    const macs = new Map<string, string>();
    for (const other of this.#byPod.values()) {
      if (other.network.id !== network.id) continue;
      taken.set(other.address, `pod "${other.pod}"`);
      macs.set(other.mac, `pod "${other.pod}"`);
    }
    const what = `give pod "${pod}" an address on network "${network.name}"`;
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
      ...{ pod, network, address: given, mac: hardware, mtu: mtu || network.mtu },
    });
    this.#byPod.set(pod, attachment);
    return attachment;
  }

  release(pod: PodId): void {
    const attachment = this.#byPod.get(pod);
    if (!attachment) return;
    this.#records.removeAttachment(attachment);
    this.#byPod.delete(pod);
  }

  #choose(network: Network, taken: ReadonlyMap<string, string>): string | undefined {
    return nextAddress(network.subnet, this.#records.lastAddress(network), (address) => taken.has(address));
  }
}
