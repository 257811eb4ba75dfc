import { HyperError } from '../errors.ts';
import type { Access, Network } from './network.ts';
import { EVERY_ADDRESS, type PortForward } from './port-forward.ts';
import { cidrOf } from './subnet.ts';

/** Bounds on what one pod may ask of the others and of the host: see docs/networking.md. */
const MAX_CONNECTIONS = 16_384;
const MAX_QUERIES_PER_SECOND = 500;
const MAX_BROADCASTS_PER_SECOND = 100;

/** A tap and who may send through it. */
export interface Port {
  readonly tap: string;
  readonly mac: string;
  readonly address: string;
  readonly access: Access | undefined;
}

/** A published port and the pod's address that it leads to. */
export interface PublishedPort extends PortForward {
  readonly address: string;
}

/**
 * The text for `nft` that makes the tables, or brings those of an earlier daemon up to date in one step. The chains never change with pods: these
 * are elements of sets, which stay as they are here, so that what runs goes on. Between pods of one network, whose packets the host's connection tracking
 * does not see, `asked` remembers what datagrams of a restricted pod are to be answered.
 */
export function tablesText(table: string, { filters }: { readonly filters: boolean }): string {
  const bridge = `table bridge ${table}`;
  const text = `
${bridge} {
  set taps { type ifname; }
  set sources { type ifname . ether_addr . ipv4_addr; }
  set broadcasts { type ifname; size 65535; flags dynamic,timeout; timeout 1m; }
  set restricted { type ifname; }
  set internals { type ifname . ipv4_addr; flags interval; }
  set asked { type ipv4_addr . ipv4_addr . inet_service . inet_service; size 65535; flags dynamic,timeout; timeout 3m; }
  chain prerouting { type filter hook prerouting priority -300; policy accept; }
  chain forward { type filter hook forward priority 0; policy accept; }
}
flush chain bridge ${table} prerouting
flush chain bridge ${table} forward
${bridge} {
  chain prerouting {
    iifname != @taps accept
    ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 update @broadcasts { iifname limit rate over ${MAX_BROADCASTS_PER_SECOND}/second burst ${MAX_BROADCASTS_PER_SECOND * 2} packets } drop
    ether type ip iifname . ether saddr . ip saddr @sources accept
    ether type arp iifname . ether saddr . arp saddr ip @sources iifname . arp saddr ether . arp saddr ip @sources accept
    drop
  }
  chain forward {
    ether type != ip accept
    iifname @restricted update @asked { ip daddr . ip saddr . udp dport . udp sport }
    oifname != @restricted accept
    oifname . ip saddr @internals accept
    ip frag-off & 0x1fff != 0 accept
    tcp flags & (syn | ack) != syn accept
    ip saddr . ip daddr . udp sport . udp dport @asked accept
    icmp type != echo-request accept
    drop
  }
}
`;
  return filters ? text + ipText(table) : `${text}${deleteText('ip', table)}`;
}

function ipText(table: string): string {
  const dnat = `
    fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @address_ports
    fib daddr type local dnat ip to meta l4proto . th dport map @ports`;
  return `
table ip ${table} {
  set bridges { type ifname; }
  set within { type ifname . ifname; }
  set subnets { type ipv4_addr; flags interval; }
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map address_ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  set restricted { type ipv4_addr; }
  set internals { type ipv4_addr . ipv4_addr; flags interval; }
  set externals { type ipv4_addr . ipv4_addr; flags interval; }
  set connections { type ipv4_addr; size 65535; flags dynamic; }
  set queries { type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m; }
  chain raw { type filter hook prerouting priority -300; policy accept; }
  chain prerouting { type nat hook prerouting priority -100; policy accept; }
  chain output { type nat hook output priority -100; policy accept; }
  chain postrouting { type nat hook postrouting priority 100; policy accept; }
  chain input { type filter hook input priority 0; policy accept; }
  chain forward { type filter hook forward priority 0; policy accept; }
}
${['raw', 'prerouting', 'output', 'postrouting', 'input', 'forward'].map((chain) => `flush chain ip ${table} ${chain}`).join('\n')}
table ip ${table} {
  chain raw { iifname @bridges ip daddr 127.0.0.0/8 drop; }
  chain prerouting {${dnat}
  }
  chain output {${dnat}
  }
  chain postrouting {
    ip saddr @subnets ip daddr != @subnets masquerade
    ip saddr @subnets ct status dnat masquerade
    ip saddr 127.0.0.0/8 oifname @bridges masquerade
  }
  chain input {
    iifname != @bridges accept
    ct state new add @connections { ip saddr ct count over ${MAX_CONNECTIONS} } drop
    udp dport 53 update @queries { ip saddr limit rate over ${MAX_QUERIES_PER_SECOND}/second burst ${MAX_QUERIES_PER_SECOND} packets } drop
  }
  chain forward {
    iifname @bridges ct state new add @connections { ip saddr ct count over ${MAX_CONNECTIONS} } drop
    ct state established,related accept
    ip daddr . ip saddr @internals accept
    ct status dnat ip daddr . ip saddr @externals accept
    ip daddr @restricted drop
    ct status dnat accept
    iifname . oifname @within accept
    oifname @bridges drop
  }
}
`;
}

/** Removes a table that may not be there. */
export function deleteText(family: 'ip' | 'bridge', table: string): string {
  return `add table ${family} ${table}\ndelete table ${family} ${table}\n`;
}

export function addNetworkText(table: string, network: Network): string {
  return elements('add', table, network);
}

/** Repeatable: what is deleted is added first. */
export function removeNetworkText(table: string, network: Network): string {
  return elements('add', table, network) + elements('delete', table, network);
}

function elements(verb: 'add' | 'delete', table: string, { bridge, subnet }: Network): string {
  return `${verb} element ip ${table} bridges { "${bridge}" }
${verb} element ip ${table} within { "${bridge}" . "${bridge}" }
${verb} element ip ${table} subnets { ${cidrOf(subnet)} }\n`;
}

/** `filters`: as the tables were made. */
export function addPortText(table: string, port: Port, filters: boolean): string {
  return portElements('add', table, port, filters);
}

/** Repeatable. */
export function removePortText(table: string, port: Port, filters: boolean): string {
  return portElements('add', table, port, filters) + portElements('delete', table, port, filters);
}

function portElements(verb: 'add' | 'delete', table: string, port: Port, filters: boolean): string {
  const { tap, mac, address, access } = port;
  const bridge = `${verb} element bridge ${table}`;
  const own = `${bridge} taps { "${tap}" }\n${bridge} sources { "${tap}" . ${mac} . ${address} }\n`;
  if (!access) return own;
  const { internal, external } = access;
  const bridged = `${own}${bridge} restricted { "${tap}" }\n${bridge} internals { ${keys(`"${tap}"`, internal)} }\n`;
  if (!filters) return bridged;
  const ip = `${verb} element ip ${table}`;
  return `${bridged}${ip} restricted { ${address} }
${ip} internals { ${keys(address, internal)} }
${ip} externals { ${keys(address, external)} }\n`;
}

/** The key of each subnet with what it may reach. */
function keys(target: string, subnets: readonly string[]): string {
  return subnets.map((subnet) => `${target} . ${subnet}`).join(', ');
}

/** `delete` needs the port to be published as it is given. */
export function publishText(verb: 'add' | 'delete', table: string, port: PublishedPort): string {
  const { protocol, hostAddress, hostPort, guestPort, address } = port;
  for (const number of [hostPort, guestPort])
    if (!Number.isInteger(number) || number < 1 || number > 65_535)
      throw new HyperError('internal', `publish port ${number}: want 1 to 65535`);
  const key = `${protocol} . ${hostPort}`;
  const target = `${address} . ${guestPort}`;
  return hostAddress === EVERY_ADDRESS
    ? `${verb} element ip ${table} ports { ${key} : ${target} }\n`
    : `${verb} element ip ${table} address_ports { ${hostAddress} . ${key} : ${target} }\n`;
}

interface ListedObject {
  readonly map?: { readonly name: string; readonly elem?: readonly unknown[] };
}

/** The published ports in what `nft -j list table` prints. What is none of ours is left out. */
export function parsePublished(json: string): PublishedPort[] {
  const { nftables } = JSON.parse(json) as { nftables: ListedObject[] };
  return nftables.flatMap(({ map }) => {
    if (!map || !['ports', 'address_ports'].includes(map.name)) return [];
    return (map.elem ?? []).flatMap((entry) => publishedOf(entry, map.name));
  });
}

function publishedOf(entry: unknown, map: string): PublishedPort[] {
  const [key, target] = entry as { concat: (string | number)[] }[];
  const words = map === 'ports' ? [EVERY_ADDRESS, ...(key?.concat ?? [])] : (key?.concat ?? []);
  const [hostAddress, protocol, hostPort] = words;
  const [address, guestPort] = target?.concat ?? [];
  if (protocol !== 'tcp' && protocol !== 'udp') return [];
  return [
    {
      ...{ protocol, hostAddress: String(hostAddress), hostPort: Number(hostPort) },
      ...{ address: String(address), guestPort: Number(guestPort) },
    },
  ];
}
