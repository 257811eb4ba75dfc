import type { PodId } from '../ids.ts';
import type { State } from '../state/database.ts';
import type { Access, Attachment, Network } from './network.ts';
import { cidrOf, parseSubnet } from './subnet.ts';

/** Rows of networks and of the addresses that pods hold: written before a device is made, deleted when nothing of it is left. */
export interface NetworkRecords {
  /** `bridge`: for an id, the name of the device. */
  insert(network: Omit<Network, 'id' | 'bridge'>, bridge: (id: number) => string): Network;
  remove(network: Network): void;
  networks(): Network[];
  insertAttachment(attachment: Omit<Attachment, 'id'>): Attachment;
  removeAttachment(attachment: Attachment): void;
  attachments(): Attachment[];
  /** The address that was given to a pod last; the gateway's before any was. */
  lastAddress(network: Network): string;
}

export function createNetworkRecords(state: State): NetworkRecords {
  const { db } = state;
  const insert = db.prepare(
    'INSERT INTO networks (name, bridge, subnet, gateway, mtu, labels, last_address, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const nameBridge = db.prepare('UPDATE networks SET bridge = ? WHERE id = ?');
  const remove = db.prepare('DELETE FROM networks WHERE id = ?');
  const selectNetworks = db.prepare('SELECT * FROM networks ORDER BY id');
  const insertAttachment = db.prepare(
    'INSERT INTO attachments (network_id, pod, card, address, mac, mtu, access) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const removeAttachment = db.prepare('DELETE FROM attachments WHERE id = ?');
  const selectAttachments = db.prepare('SELECT * FROM attachments ORDER BY pod, card');
  const selectLast = db.prepare('SELECT last_address FROM networks WHERE id = ?');
  const setLast = db.prepare('UPDATE networks SET last_address = ? WHERE id = ?');
  const networks = (): Network[] => selectNetworks.all().map(networkOf);

  return {
    insert(network, bridge) {
      const { name, subnet, gateway, mtu, labels, createdAt } = network;
      return state.transact(() => {
        const { lastInsertRowid } = insert.run(
          ...[name, '', cidrOf(subnet), gateway, mtu, JSON.stringify(labels), gateway, createdAt],
        );
        const id = Number(lastInsertRowid);
        nameBridge.run(bridge(id), id);
        return { ...network, id, bridge: bridge(id) };
      });
    },
    remove({ id }) {
      state.toRemove(() => remove.run(id));
    },
    networks,
    insertAttachment(attachment) {
      const { network, pod, card, address, mac, mtu, access = null } = attachment;
      return state.transact(() => {
        setLast.run(address, network.id);
        const { lastInsertRowid } = insertAttachment.run(
          ...[network.id, pod, card, address, mac, mtu, JSON.stringify(access)],
        );
        return { ...attachment, id: Number(lastInsertRowid) };
      });
    },
    removeAttachment({ id }) {
      state.toRemove(() => removeAttachment.run(id));
    },
    attachments() {
      const byId = new Map(networks().map((network) => [network.id, network]));
      return selectAttachments.all().map((row) => ({
        id: row.id as number,
        pod: row.pod as PodId,
        network: byId.get(row.network_id as number) as Network,
        card: row.card as number,
        address: row.address as string,
        mac: row.mac as string,
        mtu: row.mtu as number,
        access: (JSON.parse(row.access as string) as Access | null) ?? undefined,
      }));
    },
    lastAddress: ({ id, gateway }) => (selectLast.get(id)?.last_address as string | undefined) ?? gateway,
  };
}

function networkOf(row: Record<string, unknown>): Network {
  return {
    id: row.id as number,
    name: row.name as string,
    bridge: row.bridge as string,
    subnet: parseSubnet(row.subnet as string),
    gateway: row.gateway as string,
    mtu: row.mtu as number,
    labels: JSON.parse(row.labels as string) as Record<string, string>,
    createdAt: row.created_at as number,
  };
}
