import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { HyperError, isHyperError } from '../errors.ts';
import { runHostTool } from './host-tools.ts';
import type { Attachment, Network } from './network.ts';
import { parseCidr, type Subnet } from './subnet.ts';

/** The kernel's bound on a device's name. */
export const MAX_DEVICE_NAME = 15;
const DEFAULT_MTU = 1500;
/** What virtual devices can have at most. */
export const MAX_MTU = 65_521;
const DEVICE_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/;

/** A device of the host that is ours. */
export interface Device {
  readonly name: string;
  readonly kind: 'bridge' | 'tap';
  /** A machine has the tap open. */
  readonly isInUse: boolean;
}

/** Six hex digits that tell what one daemon's root has on the host from what others have. */
export function markOf(root: string): string {
  return createHash('sha256').update(root).digest('hex').slice(0, 6);
}

export function isDeviceName(name: string): boolean {
  return DEVICE_NAME.test(name);
}

/**
 * Bridges and taps of one root, made with the `ip` of the host. All of them bear the root's mark as their alias, so that they are found
 * again whatever has become of the daemon. Every call may be repeated. Rejects `unavailable`, and `conflict` for a name that another has.
 */
export class Devices {
  readonly #mark: string;
  readonly #alias: string;

  constructor(mark: string) {
    this.#mark = mark;
    this.#alias = `hyperd ${mark}`;
  }

  bridgeName(id: number): string {
    return checked(`h${this.#mark}b${id.toString(36)}`);
  }

  tapName({ id }: Pick<Attachment, 'id'>): string {
    return checked(`h${this.#mark}t${id.toString(36)}`);
  }

  /** Has the bridge be there, up, with its address. Its MAC address is fixed: it would change with the taps that come and go. */
  async ensureBridge(network: Network): Promise<void> {
    const { bridge, gateway, subnet, mtu } = network;
    const found = await link(bridge);
    if (found && !this.#isOurs(found))
      throw new HyperError(
        'conflict',
        `make bridge "${bridge}": the host has a device of that name that is not of this daemon; choose another name`,
      );
    const lines = found ? [] : [`link add ${checked(bridge)} address ${macOf(gateway)} type bridge`];
    lines.push(
      `link set ${checked(bridge)} alias "${this.#alias}"`,
      `link set ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      `link set ${bridge} mtu ${mtu} up`,
      `address replace ${gateway}/${subnet.prefixLength} dev ${bridge}`,
    );
    await batch(lines);
    // What comes in at the bridge for 127.0.0.1 is dropped by our rules; published ports of it need this.
    await setting(`conf/${bridge}/route_localnet`, '1');
    await setting('ip_forward', '1');
  }

  /** Makes the tap of a pod, down. Only what goes to its MAC address, or to all, gets to it. */
  async makeTap(attachment: Attachment): Promise<void> {
    const name = this.tapName(attachment);
    const { network, mac, mtu } = attachment;
    await this.removeDevice(name);
    await batch([
      `tuntap add dev ${name} mode tap`,
      `link set ${name} alias "${this.#alias}"`,
      `link set ${name} mtu ${mtu} master ${checked(network.bridge)}`,
      `link set ${name} type bridge_slave learning off flood off mcast_flood off`,
    ]);
    await runHostTool('bridge', ['fdb', 'replace', mac, 'dev', name, 'master', 'static']);
  }

  async setUp(name: string): Promise<void> {
    await batch([`link set ${checked(name)} up`]);
  }

  /** One that is not there is left alone, and so is one that is not ours. */
  async removeDevice(name: string): Promise<void> {
    const found = await link(name);
    if (found && this.#isOurs(found)) await batch([`link delete ${checked(name)}`]);
  }

  async ours(): Promise<Device[]> {
    const links = JSON.parse(await runHostTool('ip', ['-json', '-details', 'link', 'show'])) as Link[];
    return links
      .filter((found) => this.#isOurs(found))
      .map(({ ifname, flags, linkinfo }) => ({
        name: ifname,
        kind: linkinfo?.info_kind === 'bridge' ? 'bridge' : 'tap',
        isInUse: flags.includes('LOWER_UP'),
      }));
  }

  /** A daemon that was killed may not have come to set the alias; names with the mark are nobody else's. */
  #isOurs({ ifalias, ifname }: Link): boolean {
    return ifalias === this.#alias || new RegExp(`^h${this.#mark}[bt]`).test(ifname);
  }
}

interface Link {
  readonly ifname: string;
  readonly ifalias?: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly linkinfo?: { readonly info_kind?: string };
}

async function link(name: string): Promise<Link | undefined> {
  try {
    const text = await runHostTool('ip', ['-json', '-details', 'link', 'show', 'dev', checked(name)]);
    return (JSON.parse(text) as Link[])[0];
  } catch (error) {
    if (isHyperError(error, 'unavailable') && /does not exist/.test(error.message)) return undefined;
    throw error;
  }
}

interface Route {
  readonly dst: string;
  readonly dev?: string;
}

/** Networks that the host has a route to, by device; without default routes. */
export async function hostSubnets(): Promise<{ readonly subnet: Subnet; readonly device: string }[]> {
  const routes = JSON.parse(
    await runHostTool('ip', ['-json', '-4', 'route', 'show', 'table', 'main']),
  ) as Route[];
  return routes.flatMap(({ dst, dev = '' }) => {
    const subnet = parseCidr(dst.includes('/') ? dst : `${dst}/32`);
    return subnet && dst !== 'default' ? [{ subnet, device: dev }] : [];
  });
}

/** The devices that lead to the world, the preferred one first. */
export async function hostUplinks(): Promise<string[]> {
  const routes = JSON.parse(await runHostTool('ip', ['-json', '-4', 'route', 'show', 'default'])) as Route[];
  return [...new Set(routes.flatMap(({ dev = '' }) => (isDeviceName(dev) ? [dev] : [])))];
}

/** The MTU of the device that leads to the world, else Ethernet's. */
export async function hostMtu(): Promise<number> {
  const [device] = await hostUplinks();
  const found = device === undefined ? undefined : await link(device);
  return Math.min(found?.mtu ?? DEFAULT_MTU, MAX_MTU);
}

/** A MAC address (locally administered) that goes with an IPv4 address, so that no cache of others is wrong when it is given again. */
export function macOf(address: string): string {
  return ['02', '68', ...address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'))].join(
    ':',
  );
}

/** One `ip` for several lines; the first that fails ends it. */
async function batch(lines: readonly string[]): Promise<void> {
  await runHostTool('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
}

async function setting(name: string, value: string): Promise<void> {
  const path = `/proc/sys/net/ipv4/${name}`;
  if ((await readFile(path, 'utf8')).trim() !== value) await writeFile(path, value);
}

/** The name, where it can be put into a line of `ip`. Throws `internal`. */
function checked(name: string): string {
  if (isDeviceName(name)) return name;
  throw new HyperError(
    'internal',
    `use device "${name}": want at most ${MAX_DEVICE_NAME} characters of a-zA-Z0-9_.-`,
  );
}
