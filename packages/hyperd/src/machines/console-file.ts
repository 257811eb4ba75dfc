import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { HyperError, isHyperError } from '../errors.ts';

const MAX_CONSOLE_BYTES = 1024 * 1024;
const KEPT_BYTES = 16_384;

/**
 * Opens a file in a machine's directory, which its QEMU can write to: a link that leads elsewhere is not followed, and a pipe not waited for. Rejects with
 * `ENOENT` where there is none.
 */
async function openMachineFile(path: string, flags: number): Promise<FileHandle> {
  const file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new HyperError('machine', `open ${path}: it is not a file`);
}

/** Makes a console's file small again where it has grown large: QEMU goes on writing at its end. Rejects where there is none. */
export async function boundConsole(path: string): Promise<void> {
  await using file = await openMachineFile(path, constants.O_RDWR);
  const { size } = await file.stat();
  if (size <= MAX_CONSOLE_BYTES) return;
  const end = Buffer.alloc(KEPT_BYTES);
  await file.read(end, 0, end.length, size - end.length);
  await file.truncate(0);
  await file.write(end, 0, end.length, 0);
}

/** The last `bytes` of a file in a machine's directory; empty where there is none, or something else. */
export async function endOf(path: string, bytes: number): Promise<string> {
  try {
    await using file = await openMachineFile(path, constants.O_RDONLY);
    const { size } = await file.stat();
    const end = Buffer.alloc(Math.min(size, bytes));
    const { bytesRead } = await file.read(end, 0, end.length, size - end.length);
    return end.toString('utf8', 0, bytesRead);
  } catch (error) {
    if (isHyperError(error, 'machine') || ['ENOENT', 'ELOOP'].includes(codeOf(error))) return '';
    throw error;
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}
