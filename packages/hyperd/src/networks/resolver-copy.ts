import { type StatsListener, unwatchFile, watchFile } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';

const RESOLV_CONF = '/etc/resolv.conf';
const LOOK_EVERY_MS = 5_000;

/**
 * Keeps a copy of the host's /etc/resolv.conf at `path`, for machines, whose processes see nothing of /etc: their name server asks the host's, also when these
 * have changed. Copied at once and within 5 s of a change, until disposed.
 */
export async function copyResolver(path: string, logger: Logger): Promise<Disposable> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const copy = async (): Promise<void> => {
    const text = await readFile(RESOLV_CONF, 'utf8').catch(() => ''); // a host without one has no servers
    if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return; // a full disk does not keep a daemon from starting
    await writeFile(`${path}.tmp`, text, { mode: 0o644 });
    await rename(`${path}.tmp`, path);
  };
  const copyChange: StatsListener = () =>
    void copy().catch((error: unknown) => logger.warn({ err: messageOf(error) }, 'copy resolv.conf'));
  await copy();
  watchFile(RESOLV_CONF, { interval: LOOK_EVERY_MS, persistent: false }, copyChange);
  return { [Symbol.dispose]: () => unwatchFile(RESOLV_CONF, copyChange) };
}
