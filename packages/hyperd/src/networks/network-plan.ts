import { HyperError } from '../errors.ts';
import { hostMtu, hostSubnets, MAX_MTU } from './devices.ts';
import type { Network, NetworkRequest } from './network.ts';
import { addressOf, cidrOf, isHostOf, numberOf, overlap, parseSubnet, type Subnet } from './subnet.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
/** What stands for QEMU's network in user space, and so cannot be a network's name. */
export const USER_MODE = 'user';
/** The smallest that IPv4 over Ethernet is used with here. */
const MIN_MTU = 576;
/** Subnets for networks that ask for none: 192.168.124.0/24 to 192.168.254.0/24. */
const POOL: readonly Subnet[] = Array.from({ length: 131 }, (_, index) => ({
  ...{ base: numberOf(`192.168.${124 + index}.0`), prefixLength: 24 },
}));

export type NetworkPlan = Pick<Network, 'name' | 'subnet' | 'gateway' | 'mtu' | 'labels'>;

/**
 * A new network beside `others`, with what the request leaves open chosen. `bridge`: a device that may have the subnet already. Throws
 * `invalid-argument`, `conflict` for addresses that are in use, `limit`.
 */
export async function planNetwork(
  request: NetworkRequest,
  others: readonly Network[],
  bridge?: string,
): Promise<NetworkPlan> {
  const { name, labels = {}, mtu } = request;
  if (!NAME.test(name) || name === USER_MODE)
    throw new HyperError(
      'invalid-argument',
      `create network "${name.slice(0, 64)}": want a name of [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 63 characters, other than "${USER_MODE}"`,
    );
  if (mtu !== undefined && (!Number.isInteger(mtu) || mtu < MIN_MTU || mtu > MAX_MTU))
    throw new HyperError(
      'invalid-argument',
      `create network "${name}": mtu is ${mtu}, want ${MIN_MTU} to ${MAX_MTU}`,
    );
  if (others.some((other) => other.name === name))
    throw new HyperError('conflict', `create network "${name}": it exists already`);
  const subnet = request.subnet === undefined ? undefined : parseSubnet(request.subnet);
  if (subnet) await requireFree(subnet, { name, others, bridge });
  const chosen = subnet ?? (await chooseSubnet(name, others));
  return { name, labels, subnet: chosen, gateway: gatewayOf(request, chosen), mtu: mtu ?? (await hostMtu()) };
}

async function chooseSubnet(name: string, others: readonly Network[]): Promise<Subnet> {
  const taken = [...others, ...(await hostSubnets())].map(({ subnet }) => subnet);
  for (const subnet of POOL) if (!taken.some((other) => overlap(other, subnet))) return subnet;
  throw new HyperError('limit', `create network "${name}": no subnet of the pool is free; give one`);
}

async function requireFree(
  subnet: Subnet,
  {
    name,
    others,
    bridge,
  }: { readonly name: string; readonly others: readonly Network[]; readonly bridge: string | undefined },
): Promise<void> {
  const what = `create network "${name}" of ${cidrOf(subnet)}`;
  const other = others.find((network) => overlap(network.subnet, subnet));
  if (other) throw new HyperError('conflict', `${what}: network "${other.name}" has ${cidrOf(other.subnet)}`);
  const route = (await hostSubnets()).find(
    (known) => known.device !== bridge && overlap(known.subnet, subnet),
  );
  if (!route) return;
  throw new HyperError(
    'conflict',
    `${what}: the host reaches ${cidrOf(route.subnet)} through ${route.device}`,
  );
}

function gatewayOf({ name, gateway }: NetworkRequest, subnet: Subnet): string {
  if (gateway === undefined) return addressOf(subnet.base + 1);
  if (/^\d+(\.\d+){3}$/.test(gateway) && isHostOf(subnet, gateway)) return gateway;
  throw new HyperError(
    'invalid-argument',
    `create network "${name}": gateway is "${gateway.slice(0, 64)}", want an address of a host in ${cidrOf(subnet)}`,
  );
}
