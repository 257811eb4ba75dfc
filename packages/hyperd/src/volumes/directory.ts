import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { HyperError, messageOf } from '../errors.ts';

const run = promisify(execFile);
/** A volume may hold millions of files. */
const TIMEOUT_MS = 3_600_000;

/** Bytes that a directory takes on the disk. Guests make trees of any depth: the tools do not go by path names. */
export async function diskBytes(directory: string): Promise<number> {
  const { stdout } = await run('du', ['-s', '-x', '-B1', '--', directory], { timeout: TIMEOUT_MS });
  return Number.parseInt(stdout, 10) || 0;
}

/** Deletes a directory with all that is in it. Throws `internal`. */
export async function deleteDirectory(directory: string): Promise<void> {
  const remove = () => run('rm', ['-rf', '--one-file-system', '--', directory], { timeout: TIMEOUT_MS });
  try {
    await remove();
  } catch {
    // Root in a machine could leave directories that an ordinary user, who owns them, may not enter.
    try {
      await run('chmod', ['-R', 'u+rwx', '--', directory], { timeout: TIMEOUT_MS });
      await remove();
    } catch (error) {
      throw new HyperError('internal', `delete ${directory}: ${messageOf(error)}`, { cause: error });
    }
  }
}
