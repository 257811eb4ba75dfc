import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HyperError, messageOf } from '../errors.ts';

/** A value for a file of a cgroup. A host whose kernel has not that bound has not that file. */
export interface CgroupValue {
  readonly file: string;
  readonly value: string;
}

/** One directory of a hierarchy, and what bounds it. */
export interface CgroupPart {
  readonly directory: string;
  readonly values: readonly CgroupValue[];
}

const REMOVAL_TRIES = 8;

/** Makes the directories and sets their bounds. Rejects as the file system does. */
export async function makeCgroup(parts: readonly CgroupPart[]): Promise<void> {
  for (const { directory, values } of parts) {
    await mkdir(directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error; // of a start that was tried before
    });
    for (const { file, value } of values) await setValue(join(directory, file), value);
  }
}

async function setValue(path: string, value: string): Promise<void> {
  try {
    await writeFile(path, value, { flag: 'r+' }); // no such file is ever made
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** The cgroup of one machine: a directory in each hierarchy that bounds it; none where the host has none. */
export class MachineCgroup {
  readonly directories: readonly string[];

  constructor(directories: readonly string[]) {
    this.directories = directories;
  }

  /** Puts a process with all its threads into it, and the children that it has. */
  async enter(pid: number): Promise<void> {
    if (this.directories.length === 0) return;
    try {
      for (const each of [String(pid), ...(await childrenOf(pid))])
        for (const directory of this.directories) await writeFile(join(directory, 'cgroup.procs'), each);
    } catch (error) {
      throw new HyperError('machine', `put process ${pid} into its cgroup: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Resolves once it is gone, or would not go; then the next daemon sees to it. Its processes have ended, or are about to. */
  async remove(): Promise<void> {
    await removeCgroup(this.directories);
  }
}

async function childrenOf(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => ''); // not every kernel tells
  return text.split(' ').filter((child) => child !== '');
}

/** Removes directories of cgroups that nothing is in any more; resolves with those that are left. */
export async function removeCgroup(directories: readonly string[]): Promise<string[]> {
  const left: string[] = [];
  for (const directory of directories) if (!(await removed(directory))) left.push(directory);
  return left;
}

/** The kernel takes a moment to let a process that has ended go. */
async function removed(directory: string): Promise<boolean> {
  for (let wait = 1, tries = 0; tries < REMOVAL_TRIES; wait *= 2, tries++) {
    try {
      await rmdir(directory);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return true;
      if (code !== 'EBUSY') return false;
    }
    await sleep(wait);
  }
  return false;
}
