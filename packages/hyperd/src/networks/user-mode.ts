import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import type { GuestNetwork } from '../guest/index.ts';

/** QEMU's user-mode network: every machine is alone behind its own NAT, so all of them have the same addresses. */
export const USER_MODE_ADDRESS = '10.0.2.15';
const PREFIX_LENGTH = 24;
const GATEWAY = '10.0.2.2';
/** QEMU's forwarder to the host's resolvers. */
export const USER_MODE_DNS = '10.0.2.3';
/** As `host/network-guard.c` has it. */
const MTU = 65_520;
/**
 * A prefix of its own from the unique local addresses: a guest takes IPv4 first for names that have both, so that nothing depends on how
 * well the host's IPv6 works.
 */
const PREFIX6 = 'fd00:6879:7065:7200:';
const PREFIX6_LENGTH = 64;
/** For QEMU's command line. */
export const USER_MODE_NETWORK6 = `${PREFIX6}:/${PREFIX6_LENGTH}`;

/** A pod's addresses with prefix length. */
export const userModeAddresses: readonly string[] = [`${USER_MODE_ADDRESS}/${PREFIX_LENGTH}`];

/** Whether this host has an address of IPv6 that leads further than its own link. */
function hasIpv6(): boolean {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return addresses.some(
    ({ family, internal, address }) => family === 'IPv6' && !internal && !/^fe[89ab]/i.test(address),
  );
}

/** The network of a new machine, with IPv6 where the host has it, and with a MAC address of its own (locally administered, unicast). */
export function userModeNetwork(): GuestNetwork {
  const mac = randomBytes(6);
  mac[0] = ((mac[0] as number) & 0xfc) | 0x02;
  return {
    mac: [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':'),
    address: USER_MODE_ADDRESS,
    prefixLength: PREFIX_LENGTH,
    gateway: GATEWAY,
    mtu: MTU,
    ...(hasIpv6()
      ? { address6: `${PREFIX6}:15`, prefixLength6: PREFIX6_LENGTH, gateway6: `${PREFIX6}:2` }
      : { address6: '', prefixLength6: 0, gateway6: '' }),
  };
}
