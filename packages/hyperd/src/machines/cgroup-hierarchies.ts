import { join } from 'node:path';

/** What is bounded. */
export const CONTROLLERS = ['memory', 'pids', 'cpu'] as const;
export type Controller = (typeof CONTROLLERS)[number];

/** A tree of cgroups of the host that has some of the controllers. */
export interface Hierarchy {
  readonly version: 1 | 2;
  readonly controllers: readonly Controller[];
  /** Where it is mounted. */
  readonly mount: string;
  /** This process's own group in it, as a path below `mount`; empty for the root. */
  readonly own: string;
}

export interface HierarchySources {
  /** /proc/self/mountinfo */
  readonly mountInfo: string;
  /** /proc/self/cgroup */
  readonly membership: string;
  /** `cgroup.controllers` at the root of version 2, where it is mounted. */
  readonly unifiedControllers: (mount: string) => string;
}

/** The hierarchies that have the controllers: each controller in one, whichever version has it on this host (cgroups(7)). */
export function hierarchiesOf({ mountInfo, membership, unifiedControllers }: HierarchySources): Hierarchy[] {
  const members = membershipsOf(membership);
  const found: Hierarchy[] = [];
  const missing = new Set<Controller>(CONTROLLERS);
  for (const { type, mount, root, options } of mountsOf(mountInfo)) {
    const version = type === 'cgroup2' ? 2 : 1;
    const names = version === 2 ? unifiedControllers(mount).trim().split(' ') : options;
    const controllers = [...missing].filter((controller) => names.includes(controller));
    if (controllers.length === 0) continue;
    for (const controller of controllers) missing.delete(controller);
    const key = version === 2 ? '' : (controllers[0] ?? '');
    found.push({ version, controllers, mount, own: below(root, members.get(key) ?? '/') });
  }
  return found;
}

/** By controller; '' is version 2. */
function membershipsOf(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, names = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path !== '') for (const name of names.split(',')) found.set(name, path);
  }
  return found;
}

interface Mount {
  readonly type: string;
  readonly mount: string;
  readonly root: string;
  readonly options: readonly string[];
}

/** Those of cgroups, of proc_pid_mountinfo(5). */
function mountsOf(mountInfo: string): Mount[] {
  return mountInfo.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '', mount = ''] = before.split(' ');
    const [type = '', , options = ''] = after.split(' ');
    return type === 'cgroup' || type === 'cgroup2'
      ? [{ type, mount: unescaped(mount), root: unescaped(root), options: options.split(',') }]
      : [];
  });
}

function unescaped(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The group's path below the mount's root; the root for one that is not there. */
function below(root: string, path: string): string {
  const prefix = root === '/' ? '' : root;
  return path.startsWith(`${prefix}/`) && !path.includes('/..')
    ? join('/', path.slice(prefix.length)).replace(/\/$/, '')
    : '';
}
