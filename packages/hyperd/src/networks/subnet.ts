import { isIPv4 } from 'node:net';
import { HyperError } from '../errors.ts';

/** Longest and shortest prefix of a network of pods: room for a gateway and a pod at least, and not a large part of the world. */
const MIN_PREFIX_LENGTH = 8;
const MAX_PREFIX_LENGTH = 30;

/** A range of IPv4 addresses. `base`: its first address, as a number. */
export interface Subnet {
  readonly base: number;
  readonly prefixLength: number;
}

/** Throws `invalid-argument` for what is no subnet of pods; `text` may be any address in it with a prefix length, such as `10.1.0.1/24`. */
export function parseSubnet(text: string, what = 'subnet'): Subnet {
  const subnet = parseCidr(text);
  if (!subnet || subnet.prefixLength < MIN_PREFIX_LENGTH || subnet.prefixLength > MAX_PREFIX_LENGTH)
    throw new HyperError(
      'invalid-argument',
      `${what} is "${text.slice(0, 64)}", want IPv4 addresses such as 192.168.123.0/24, of prefix length ${MIN_PREFIX_LENGTH} to ${MAX_PREFIX_LENGTH}`,
    );
  return subnet;
}

/** The subnet of `ADDRESS/PREFIXLENGTH`; undefined where that is none. */
export function parseCidr(text: string): Subnet | undefined {
  const [, address = '', length = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const prefixLength = Number(length);
  if (!isIPv4(address) || length === '' || prefixLength > 32) return undefined;
  const size = 2 ** (32 - prefixLength);
  return { base: Math.floor(numberOf(address) / size) * size, prefixLength };
}

/** The subnets without those that lie within another, each once. */
export function widest(subnets: readonly Subnet[]): Subnet[] {
  const wideFirst = [...subnets].sort((a, b) => a.prefixLength - b.prefixLength);
  const kept: Subnet[] = [];
  for (const subnet of wideFirst) if (!kept.some((other) => overlap(other, subnet))) kept.push(subnet);
  return kept;
}

export function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function addressOf(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}

export function sizeOf({ prefixLength }: Subnet): number {
  return 2 ** (32 - prefixLength);
}

export function cidrOf(subnet: Subnet): string {
  return `${addressOf(subnet.base)}/${subnet.prefixLength}`;
}

export function contains(subnet: Subnet, address: string): boolean {
  const offset = numberOf(address) - subnet.base;
  return offset >= 0 && offset < sizeOf(subnet);
}

/** One that a machine or gateway may have: neither the subnet's own nor its broadcast address. */
export function isHostOf(subnet: Subnet, address: string): boolean {
  const offset = numberOf(address) - subnet.base;
  return offset > 0 && offset < sizeOf(subnet) - 1;
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.base < b.base + sizeOf(b) && b.base < a.base + sizeOf(a);
}

/**
 * The first address after `last` that is neither taken nor reserved, going round once; undefined where there is none.
 * Going on from the last one given keeps an address that has just become free from another pod for as long as possible.
 */
export function nextAddress(
  subnet: Subnet,
  last: string,
  isTaken: (address: string) => boolean,
): string | undefined {
  const hosts = sizeOf(subnet) - 2;
  const start = numberOf(last) - subnet.base;
  for (let step = 0; step < hosts; step++) {
    const address = addressOf(subnet.base + 1 + ((start + step) % hosts));
    if (!isTaken(address)) return address;
  }
  return undefined;
}
