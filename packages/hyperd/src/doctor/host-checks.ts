import { constants, existsSync } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { ConfinementMeasure, HypervisorInfo } from '../machines/machine.ts';
import type { Ailment } from '../upkeep/index.ts';

const GIB = 1024 ** 3;
const LOW_BYTES = GIB;
const LOW_SHARE = 0.05;
/** Programs, whose Debian package has them, and what they are for. */
const PROGRAMS = [
  { names: ['qemu-system-x86_64'], from: 'qemu-system-x86', use: 'no pod can be started', isNeeded: true },
  { names: ['mkfs.ext4'], from: 'e2fsprogs', use: 'no pod can be started', isNeeded: true },
  {
    names: ['/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd'],
    ...{
      from: 'qemu-system-common',
      use: 'directories and named volumes cannot be given to pods',
      isNeeded: true,
    },
  },
  { names: ['xz'], from: 'xz-utils', use: 'archives and layers in xz cannot be read', isNeeded: false },
  { names: ['bzip2'], from: 'bzip2', use: 'archives and layers in bzip2 cannot be read', isNeeded: false },
  { names: ['git'], from: 'git', use: 'images cannot be built of repositories', isNeeded: false },
  { names: ['ip', 'bridge'], from: 'iproute2', use: 'there are no bridged networks', isNeeded: false },
  { names: ['nft'], from: 'nftables', use: 'there are no bridged networks', isNeeded: false },
] as const;
/** Where programs of the system are, also for users whose PATH lacks it. */
const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`.split(':').filter((path) => path !== '');

/** Programs that are missing. */
export async function examinePrograms(): Promise<Ailment[]> {
  return PROGRAMS.filter(({ names }) => !names.some(isInstalled)).map(({ names, from, use, isNeeded }) => ({
    problem: `the program ${names.join(' or ')} is not installed: ${use}`,
    remedy: `install the package ${from}`,
    isNote: !isNeeded,
  }));
}

function isInstalled(name: string): boolean {
  return name.startsWith('/')
    ? existsSync(name)
    : PATH.some((directory) => existsSync(join(directory, name)));
}

/** Whether machines have the processor's own support. */
export async function examineVirtualization(info: HypervisorInfo): Promise<Ailment[]> {
  if (info.accelerator === 'kvm') return [];
  return [
    {
      problem: `machines run without KVM, many times slower: ${info.acceleratorReason}`,
      remedy:
        'switch virtualization on (in the firmware, or nested for a virtual host), load the module kvm_intel or kvm_amd, and let the daemon open /dev/kvm (group kvm)',
      isNote: true,
    },
  ];
}

/** What machines' processes should be kept in, and are not. */
export async function examineConfinement(measures: readonly ConfinementMeasure[]): Promise<Ailment[]> {
  return measures.flatMap(({ name, hindrance }) =>
    hindrance === undefined
      ? []
      : {
          problem: `${name.toLowerCase()}: there are none: ${hindrance}`,
          remedy:
            'make that so, or switch it off in the configuration (docs/security.md tells what it is for)',
          isNote: true,
        },
  );
}

/** Whether the root directory can be written to, and is not about to be full. */
export async function examineSpace(root: string): Promise<Ailment[]> {
  try {
    await access(root, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    return [
      {
        problem: `the root directory ${root} cannot be written to: ${messageOf(error)}`,
        remedy: 'give the user of the daemon that right, or mount it for writing',
      },
    ];
  }
  const { bavail, blocks, bsize, ffree, files } = await statfs(root);
  return spaceAilments(root, { free: bavail * bsize, all: blocks * bsize, freeFiles: ffree, files });
}

/** In bytes, and numbers of files; a file system without a bound on files has 0 of them. */
export function spaceAilments(
  root: string,
  { free, all, freeFiles, files }: { free: number; all: number; freeFiles: number; files: number },
): Ailment[] {
  const found: Ailment[] = [];
  const remedy =
    'free some: "hyperctl prune -a", "hyperctl build --prune", "hyperctl volume prune", "hyperctl rm"';
  if (free < LOW_BYTES || free < all * LOW_SHARE)
    found.push({
      problem: `the disk of ${root} has ${(free / GIB).toFixed(1)} of ${(all / GIB).toFixed(1)} GiB free`,
      remedy,
      isNote: free >= LOW_BYTES / 4,
    });
  if (files > 0 && freeFiles < files * LOW_SHARE)
    found.push({
      problem: `the disk of ${root} has room for ${freeFiles} more files, of ${files}`,
      remedy,
      isNote: freeFiles > 1000,
    });
  return found;
}
