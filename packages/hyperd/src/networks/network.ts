import type { PodId } from '../ids.ts';
import type { Subnet } from './subnet.ts';

/** How many networks a pod can be on besides its first: each needs a card that is plugged into its machine. */
export const MAX_FURTHER_NETWORKS = 4;

/** A bridge of the host with pods on it. */
export interface Network {
  /** Counts up, and is never used again: devices are named by it. */
  readonly id: number;
  readonly name: string;
  /** Name of the bridge's device. */
  readonly bridge: string;
  readonly subnet: Subnet;
  /** The bridge's own address. */
  readonly gateway: string;
  readonly mtu: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: number;
}

/** Who alone may connect to a pod, as subnets (`10.0.0.0/8`) of which none is within another. */
export interface Access {
  /** To every port, also at the pod's own address. */
  readonly internal: readonly string[];
  /** To published ports. */
  readonly external: readonly string[];
}

/** The place of a pod on a network: held until the pod leaves the network, or is removed. */
export interface Attachment {
  /** Counts up, and is never used again: devices are named by it. */
  readonly id: number;
  readonly pod: PodId;
  readonly network: Network;
  /** Number of the machine's network card: 0 for the one that it is made with, which leads to the world. */
  readonly card: number;
  readonly address: string;
  readonly mac: string;
  /** Below the network's, where the pod asks for that. */
  readonly mtu: number;
  /** Undefined: whoever the network lets. */
  readonly access: Access | undefined;
}

/** What a client asks of a new network; what is left out is chosen. */
export interface NetworkRequest {
  readonly name: string;
  /** `ADDRESS/PREFIXLENGTH` */
  readonly subnet?: string | undefined;
  readonly gateway?: string | undefined;
  readonly mtu?: number | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** What a pod asks for. */
export interface AttachmentRequest {
  readonly pod: PodId;
  readonly network: string;
  /** Without prefix length; empty: one that is free. */
  readonly address: string;
  /** Empty: one made of the address. */
  readonly mac: string;
  /** 0: the network's. */
  readonly mtu: number;
  readonly access?: Access | undefined;
}
