import { stat } from 'node:fs/promises';

const BLOCK_BYTES = 512;

/** Bytes of disk that files take, as `du` counts them: a hole takes none, and neither does a file that is not there. */
export async function diskBytes(paths: readonly string[]): Promise<number> {
  const sizes = await Promise.all(paths.map(ofFile));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function ofFile(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks * BLOCK_BYTES;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
