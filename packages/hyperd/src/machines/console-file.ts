import { open, stat, truncate } from 'node:fs/promises';

const MAX_CONSOLE_BYTES = 1024 * 1024;
const KEPT_BYTES = 16_384;

/** Makes a console's file small again where it has grown large: QEMU goes on writing at its end. Rejects where there is none. */
export async function boundConsole(path: string): Promise<void> {
  const { size } = await stat(path);
  if (size <= MAX_CONSOLE_BYTES) return;
  const end = Buffer.alloc(KEPT_BYTES);
  await using file = await open(path, 'r+');
  await file.read(end, 0, end.length, size - end.length);
  await truncate(path, 0);
  await file.write(end, 0, end.length, 0);
}
