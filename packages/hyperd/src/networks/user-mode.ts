import { randomBytes } from 'node:crypto';
import type { GuestNetwork } from '../guest/index.ts';

/** QEMU's user-mode network: every machine is alone behind its own NAT, so all of them have the same addresses. */
export const USER_MODE_ADDRESS = '10.0.2.15';
const PREFIX_LENGTH = 24;
const GATEWAY = '10.0.2.2';
/** QEMU's forwarder to the host's resolvers. */
export const USER_MODE_DNS = '10.0.2.3';
const MTU = 1500;

/** A pod's addresses with prefix length. */
export const userModeAddresses: readonly string[] = [`${USER_MODE_ADDRESS}/${PREFIX_LENGTH}`];

/** The network of a new machine, with a MAC address of its own (locally administered, unicast). */
export function userModeNetwork(): GuestNetwork {
  const mac = randomBytes(6);
  mac[0] = ((mac[0] as number) & 0xfc) | 0x02;
  return {
    mac: [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':'),
    address: USER_MODE_ADDRESS,
    prefixLength: PREFIX_LENGTH,
    gateway: GATEWAY,
    mtu: MTU,
  };
}
