import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pidsMentioning } from '../support/daemon.ts';
import type { World } from './world.ts';

/** Files that a pod may have, whatever has been done with it. */
const OF_POD = /^(scratch\.img|[0-9a-f]+-json\.log(\.\d+)?|files-[0-9a-f]+\.tar)$/;
/** Files that come and go with the daemon's own life. */
const OF_DAEMON = /^(state|lock)\.db(-\w+)?$/;

/**
 * All that the daemon has on the host: files below its root, processes, devices and rules; without what differs from run to run. What belongs to
 * nobody that the API knows of is called a stray.
 */
export async function inventoryOf(world: World): Promise<string[]> {
  const pods = await world.client.pods();
  const podIds = new Set(pods.map(({ id }) => id));
  const machines = new Map(pods.map(({ id, machine }) => [machine, id]));
  const files = readdirSync(world.daemon.root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(world.daemon.root.length + 1))
    .map((path) => fileOf(path, podIds, machines))
    .filter((text) => text !== undefined);
  const empty = readdirSync(join(world.daemon.root, 'machines'))
    .filter((name) => !machines.has(name))
    .map(() => 'stray machine');
  const processes = pidsMentioning(world.daemon.root, '')
    .filter((pid) => pid !== world.daemon.process.pid)
    .map((pid) => `process ${commandOf(pid)}`);
  const ofMachines = new Set(files.filter((text) => text.startsWith('machine of ')));
  const others = files.filter((text) => !ofMachines.has(text));
  return [...ofMachines, ...others, ...empty, ...processes, ...networkOf(world)].sort();
}

function fileOf(
  path: string,
  pods: ReadonlySet<string>,
  machines: ReadonlyMap<string, string>,
): string | undefined {
  const [folder = '', owner = '', ...rest] = path.split('/');
  if (OF_DAEMON.test(path)) return undefined;
  if (folder === 'templates' && !owner.endsWith('.tmp')) return undefined; // kept for the next machine, or made again
  if (folder === 'machines')
    return machines.has(owner) ? `machine of ${machines.get(owner)}` : `stray ${path}`;
  if (folder === 'pods')
    return pods.has(owner) && OF_POD.test(rest.join('/')) ? undefined : `stray ${plain(path)}`;
  return plain(path);
}

/** What is built anew has another digest each time: files that bear one are counted. */
function plain(path: string): string {
  return path.replace(/[0-9a-f]{64}/g, '*').replace(/\b(vm|pod)-\w{10}\b/g, '$1-*');
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'that has just ended';
  }
}

/** Devices, and of the packet filter how many rules and elements of sets there are. */
function networkOf({ host }: World): string[] {
  if (!host) return [];
  const devices = host.devices().map((name) => `device ${name.replace(/^(h[0-9a-f]{6}[tb])\w+$/, '$1*')}`);
  const { nftables } = JSON.parse(host.inside('nft', '-j', 'list', 'ruleset')) as { nftables: Listed[] };
  const rules = nftables.flatMap(({ set, map, rule }) => {
    if (rule) return [`rule of ${rule.table} ${rule.chain}`];
    const found = set ?? map;
    if (!found || found.flags?.includes('dynamic')) return [];
    return [`set ${found.table} ${found.name} of ${found.elem?.length ?? 0}`];
  });
  return [...devices, ...rules];
}

interface Listed {
  readonly rule?: { readonly table: string; readonly chain: string };
  readonly set?: ListedSet;
  readonly map?: ListedSet;
}

interface ListedSet {
  readonly table: string;
  readonly name: string;
  readonly flags?: readonly string[];
  readonly elem?: readonly unknown[];
}
