import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HyperError, messageOf } from '../errors.ts';
import { markOf } from '../networks/devices.ts';
import { CONTROLLERS, type Controller, type Hierarchy, hierarchiesOf } from './cgroup-hierarchies.ts';
import type { VmHardware } from './driver.ts';
import type { ConfinementMeasure } from './machine.ts';
import { type CgroupPart, type CgroupValue, makeCgroup, removeCgroup } from './machine-cgroup.ts';

/**
 * Memory that a machine's processes may have besides the guest's: QEMU's own, the code that TCG has translated, file servers, and what the host's cache holds of its
 * disks. Far more than they need: a bound on leaks, not a share.
 */
const MEMORY_OVERHEAD_MIB = 1024;
/** QEMU has one for each virtual processor, up to 64 for its disks, and some; a file server as many. */
const MAX_THREADS = 512;
/** Processors besides the virtual ones, for what QEMU does for them. */
const FURTHER_PROCESSORS = 1;
const PERIOD_US = 100_000;
const MIB = 1024 ** 2;
const MACHINE = /^vm-/;

/** Where machines' cgroups are. Made by `planCgroups`; disposing removes the directories that hold machines', if they hold none. */
export class Cgroups implements Disposable {
  readonly #parents: readonly { readonly hierarchy: Hierarchy; readonly directory: string }[];

  constructor(parents: Cgroups['parents']) {
    this.#parents = parents;
  }

  get parents(): readonly { readonly hierarchy: Hierarchy; readonly directory: string }[] {
    return this.#parents;
  }

  directoriesOf(id: string): string[] {
    return this.#parents.map(({ directory }) => join(directory, id));
  }

  /** Makes a machine's, with its bounds. Rejects `machine`. */
  async make(id: string, hardware: VmHardware): Promise<void> {
    try {
      await makeCgroup(this.#partsOf(id, hardware));
    } catch (error) {
      throw new HyperError('machine', `make cgroup of machine ${id}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Directories of machines that are not known. */
  strays(isKnown: (id: string) => boolean): string[] {
    return this.#parents.flatMap(({ directory }) =>
      entriesOf(directory)
        .filter((name) => MACHINE.test(name) && !isKnown(name))
        .map((name) => join(directory, name)),
    );
  }

  [Symbol.dispose](): void {
    for (const { directory } of this.#parents) {
      try {
        rmdirSync(directory);
      } catch (error) {
        const { code = '' } = error as NodeJS.ErrnoException;
        if (!['EBUSY', 'ENOTEMPTY', 'ENOENT'].includes(code)) throw error;
      }
    }
  }

  #partsOf(id: string, hardware: VmHardware): CgroupPart[] {
    return this.#parents.map(({ hierarchy: { version, controllers }, directory }) => ({
      directory: join(directory, id),
      values: controllers.flatMap((controller) => BOUNDS[controller](version, hardware)),
    }));
  }
}

type Bound = (version: 1 | 2, hardware: VmHardware) => CgroupValue[];

const BOUNDS: Readonly<Record<Controller, Bound>> = {
  memory: (version, { ramMib }) => [
    {
      file: version === 2 ? 'memory.max' : 'memory.limit_in_bytes',
      value: String((ramMib + MEMORY_OVERHEAD_MIB) * MIB),
    },
  ],
  pids: () => [{ file: 'pids.max', value: String(MAX_THREADS) }],
  cpu(version, { vcpus }) {
    const quota = String((vcpus + FURTHER_PROCESSORS) * PERIOD_US);
    return version === 2
      ? [{ file: 'cpu.max', value: `${quota} ${PERIOD_US}` }]
      : [
          { file: 'cpu.cfs_period_us', value: String(PERIOD_US) },
          { file: 'cpu.cfs_quota_us', value: quota },
        ];
  },
};

/** `auto`, `none`, or the path of a cgroup below which those of machines are made. */
export type CgroupSetting = string;

/**
 * Finds a place for machines' cgroups: with version 2 of cgroups a group at the root, where no service's end touches it, with version 1 one below the daemon's
 * own; `setting` may name another. Tries it out.
 */
export async function planCgroups(
  setting: CgroupSetting,
  root: string,
): Promise<{ readonly cgroups: Cgroups | undefined } & ConfinementMeasure> {
  const name = 'Machine cgroups';
  const none = (why: string, hindrance?: string) => ({
    name,
    cgroups: undefined,
    told: `none: ${why}`,
    hindrance,
  });
  if (setting === 'none') return none('so it is configured');
  if (setting === 'auto' && process.geteuid?.() !== 0) return none('the daemon is not root');
  try {
    const hierarchies = hostHierarchies();
    if (hierarchies.length === 0)
      throw new Error('the host has no cgroups that bound memory, processes or processors');
    const parents = hierarchies.map((hierarchy) => ({
      hierarchy,
      directory: placeIn(hierarchy, setting, root),
    }));
    for (const { hierarchy, directory } of parents) makeParent(hierarchy, directory);
    const cgroups = new Cgroups(parents);
    await tryOut(cgroups);
    const bounded = hierarchies.flatMap(({ controllers }) => controllers);
    const missing = CONTROLLERS.filter((controller) => !bounded.includes(controller));
    const places = parents.map(({ directory }) => directory).join(', ');
    return {
      ...{ name, cgroups, hindrance: undefined },
      told: `one each, for ${bounded.join(', ')}${missing.length > 0 ? ` (not ${missing.join(', ')})` : ''}, in ${places}`,
    };
  } catch (error) {
    return none(messageOf(error), messageOf(error));
  }
}

function hostHierarchies(): Hierarchy[] {
  return hierarchiesOf({
    mountInfo: readFileSync('/proc/self/mountinfo', 'utf8'),
    membership: readFileSync('/proc/self/cgroup', 'utf8'),
    unifiedControllers: (mount) => readFileSync(join(mount, 'cgroup.controllers'), 'utf8'),
  });
}

function placeIn({ version, mount, own }: Hierarchy, setting: CgroupSetting, root: string): string {
  const above = setting === 'auto' ? (version === 2 ? '' : own) : setting;
  return join(mount, above, `hyper-${markOf(root)}`);
}

/** With version 2 every group on the way has to pass the controllers on. */
function makeParent({ version, mount, controllers }: Hierarchy, directory: string): void {
  mkdirSync(directory, { recursive: true });
  if (version === 1) return;
  const wanted = controllers.map((controller) => `+${controller}`).join(' ');
  let group = mount;
  for (const name of [
    '',
    ...directory
      .slice(mount.length)
      .split('/')
      .filter((part) => part !== ''),
  ]) {
    group = join(group, name);
    const passed = readFileSync(join(group, 'cgroup.subtree_control'), 'utf8').trim().split(' ');
    if (controllers.every((controller) => passed.includes(controller))) continue;
    writeFileSync(join(group, 'cgroup.subtree_control'), wanted, { flag: 'r+' });
  }
}

async function tryOut(cgroups: Cgroups): Promise<void> {
  const id = 'probe';
  await cgroups.make(id, { vcpus: 1, ramMib: 128 });
  await removeCgroup(cgroups.directoriesOf(id));
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
