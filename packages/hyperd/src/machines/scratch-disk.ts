import { execFile } from 'node:child_process';
import { access, mkdir, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HyperError, messageOf } from '../errors.ts';
import { faultPoint } from '../faults/index.ts';

const run = promisify(execFile);

/** Size of a pod's writable disk, in bytes. The file is sparse: it takes what is written to it. */
const SCRATCH_SIZE_BYTES = 10 * 1024 ** 3;

/** Where mkfs lives on systems that keep it out of an ordinary user's PATH. */
const TOOL_PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

/** Makes the writable disks of pods: an empty ext4 file system, formatted once and copied sparsely. */
export interface ScratchDisks {
  /** Makes a disk at `path` unless there is one. Throws `internal` with what the tool said. */
  ensure(path: string): Promise<void>;
}

export function createScratchDisks(root: string): ScratchDisks {
  const directory = join(root, 'scratch');
  const template = join(directory, `ext4-zeroed-${SCRATCH_SIZE_BYTES}.img`);
  let prepared: Promise<void> | undefined;

  async function prepare(): Promise<void> {
    if (await exists(template)) return;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(directory)) await rm(join(directory, name), { force: true }); // of other versions
    const draft = `${template}.tmp`;
    try {
      await make(draft);
      await rename(draft, template);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  }

  async function make(draft: string): Promise<void> {
    await writeFile(draft, '');
    await truncate(draft, SCRATCH_SIZE_BYTES);
    // A small journal keeps the copy small; nodiscard, as the file is all holes. Tables that are known to be zeros are not filled with them by the
    // guest, which would cost every pod 80 MiB of the host's disk within minutes.
    await tool('mkfs.ext4', [
      ...['-q', '-F', '-m', '0', '-i', '32768', '-J', 'size=8', '-E'],
      ...['assume_storage_prezeroed=1,lazy_journal_init=1,nodiscard', draft],
    ]);
  }

  return {
    async ensure(path) {
      if (await exists(path)) return;
      prepared ??= prepare().catch((error: unknown) => {
        prepared = undefined;
        throw error;
      });
      await prepared;
      const draft = `${path}.tmp`;
      try {
        await tool('cp', ['--sparse=always', '--reflink=auto', template, draft]);
        await rename(draft, path);
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
    },
  };
}

async function tool(name: string, args: readonly string[]): Promise<void> {
  try {
    faultPoint(`run ${name}`);
    await run(name, args, { env: { ...process.env, PATH: TOOL_PATH }, timeout: 120_000 });
  } catch (error) {
    throw new HyperError('internal', `make writable disk: ${messageOf(error)}`, { cause: error });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
