import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { HyperError } from '../errors.ts';
import type { ConfinementMeasure } from './machine.ts';

/** A user of the host that is no person's, for the process of one machine. */
export interface MachineUser {
  readonly uid: number;
  /** Groups besides the one of the same number. */
  readonly groups: readonly number[];
}

/** Numbers of users and groups that nobody else on the host has. */
export interface UserRange {
  readonly first: number;
  readonly count: number;
}

export interface MachineUsers {
  /** The group of all machines. */
  readonly group: number;
  /** Who makes templates. */
  readonly template: MachineUser;
  /** One that none of `taken` is. Throws where there is none left. */
  pick(taken: ReadonlySet<number>): MachineUser;
  of(uid: number): MachineUser;
}

/** Whom machines run as, or why as the daemon does. */
export interface UsersPlan extends ConfinementMeasure {
  /** Undefined: as the daemon does. */
  readonly users: MachineUsers | undefined;
}

/**
 * Plans for machines' users: of the configured range, or one by default, where the daemon is root's and the host allows. `kvm`: machines use it; `files`: all of
 * them read these.
 */
export function planUsers(
  range: UserRange | 'none' | undefined,
  { root, kvm, files }: { readonly root: string; readonly kvm: boolean; readonly files: readonly string[] },
): UsersPlan {
  const none = (why: string, hindrance?: string): UsersPlan => ({
    ...{ name: NAME, users: undefined, told: `the daemon's own, for all: ${why}`, hindrance },
  });
  if (process.geteuid?.() !== 0) return none('the daemon is not root');
  if (range === 'none') return none('so it is configured');
  const chosen = range ?? defaultRange(root);
  const why = hindranceOf(chosen, { kvm, files });
  if (why !== undefined) return none(why, why);
  const { first, count } = chosen;
  return {
    name: NAME,
    users: createMachineUsers(chosen),
    told: `one each, of ${first} to ${first + count - 1}`,
    hindrance: undefined,
  };
}

/** Above the numbers that systemd gives to containers (0x6FFFFFFF), and below those that do not fit into 31 bits. */
const FREE = { first: 0x70_00_00_00, last: 0x7f_ff_ff_ff };
const NAME = 'Machine users';
const DEFAULT_COUNT = 65_536;
const KVM = '/dev/kvm';
/** Numbers of linux/capability.h. */
const NEEDED = { CHOWN: 0, DAC_OVERRIDE: 1, FOWNER: 3, KILL: 5, SETGID: 6, SETUID: 7, SYS_PTRACE: 19 };

/** The range that a root directory has where none is configured: each its own, as far as chance goes. */
export function defaultRange(root: string): UserRange {
  const blocks = (FREE.last - FREE.first + 1) / DEFAULT_COUNT;
  const block = createHash('sha256').update(root).digest().readUInt32BE(0) % blocks;
  return { first: FREE.first + block * DEFAULT_COUNT, count: DEFAULT_COUNT };
}

/** Why this host or daemon cannot have machines with users of their own; undefined: it can. `files`: those that all of them read. */
function hindranceOf(
  range: UserRange,
  { kvm, files }: { readonly kvm: boolean; readonly files: readonly string[] },
): string | undefined {
  const missing = missingCapabilities();
  if (missing.length > 0) return `the daemon lacks the capabilities ${missing.join(', ')}`;
  for (const map of ['uid_map', 'gid_map'])
    if (!isMapped(range, readFileSync(`/proc/self/${map}`, 'utf8')))
      return `the numbers ${range.first} to ${range.first + range.count - 1} are not in /proc/self/${map}: give "MachineUsers" numbers that are`;
  if (kvm && kvmGroups() === undefined)
    return `${KVM} is open to root only: give it to a group, such as kvm, with permissions 660`;
  const closed = files.find((path) => !isOpenToAll(path));
  return closed === undefined ? undefined : `${closed} is not readable by all users`;
}

export function createMachineUsers({ first, count }: UserRange): MachineUsers {
  const groups = [first, ...(kvmGroups() ?? [])];
  const of = (uid: number): MachineUser => ({ uid, groups });
  return {
    ...{ group: first, template: of(first), of },
    pick(taken) {
      // At random: so a number comes again as late as can be.
      const start = Math.floor(Math.random() * (count - 1));
      for (let step = 0; step < count - 1; step++) {
        const uid = first + 1 + ((start + step) % (count - 1));
        if (!taken.has(uid)) return of(uid);
      }
      throw new HyperError('limit', `start machine: all ${count - 1} users of machines are taken`);
    },
  };
}

function missingCapabilities(): string[] {
  const [, mask = '0'] = /^CapEff:\s+([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  const held = BigInt(`0x${mask}`);
  return Object.entries(NEEDED)
    .filter(([, bit]) => ((held >> BigInt(bit)) & 1n) === 0n)
    .map(([name]) => name);
}

/** Whether one line of the map, of user_namespaces(7), has all of the range. */
export function isMapped({ first, count }: UserRange, map: string): boolean {
  return map
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .some(([inside = 0, , length = 0]) => first >= inside && first + count <= inside + length);
}

/** Groups that have KVM for themselves; undefined: none can. */
function kvmGroups(): number[] | undefined {
  try {
    const { mode, gid } = statSync(KVM);
    if ((mode & 0o006) === 0o006) return [];
    return (mode & 0o060) === 0o060 && gid !== 0 ? [gid] : undefined;
  } catch {
    return undefined; // a host without it
  }
}

function isOpenToAll(path: string): boolean {
  try {
    const found = statSync(path);
    const wanted = found.isDirectory() ? 0o001 : 0o004;
    return (found.mode & wanted) === wanted;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true; // nobody reads it
    throw error;
  }
}
