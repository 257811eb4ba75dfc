import type { Static } from 'typebox';
import type { Attachment, Network } from '../../networks/network.ts';
import { cidrOf } from '../../networks/subnet.ts';
import type { NetworkInfo } from './network-schemas.ts';

export function networkShape(
  network: Network,
  attachments: readonly Attachment[],
): Static<typeof NetworkInfo> {
  const { name, bridge, subnet, gateway, mtu, labels, createdAt } = network;
  return {
    ...{ name, bridge, subnet: cidrOf(subnet), gateway, mtu, labels: { ...labels } },
    createdAt: Math.floor(createdAt / 1000),
    pods: attachments.map(({ pod, address, mac }) => ({ pod, address, mac })),
  };
}
