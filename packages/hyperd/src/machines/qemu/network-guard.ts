import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { HyperError, messageOf } from '../../errors.ts';

/** The library that is preloaded into QEMU: see host/network-guard.c. */
export interface NetworkGuard {
  readonly path: string;
  readonly hostLoopback: boolean;
  /** File that is opened for reading only, whatever QEMU asks: a template's memory. */
  readonly template?: string | undefined;
  /** What is read in place of /etc/resolv.conf. */
  readonly resolvConf?: string | undefined;
}

/** What a QEMU with the guard is spawned with. The loader ends names at spaces and colons, so the folder must not be part of the name. */
export function guarded({ path, hostLoopback, template, resolvConf }: NetworkGuard): {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
} {
  const env = {
    // One heap for all of QEMU's threads, which work under one lock anyway: half a MiB less of a machine's own memory.
    MALLOC_ARENA_MAX: '1',
    ...{ LD_PRELOAD: `./${basename(path)}`, HYPERD_HOST_LOOPBACK: hostLoopback ? '1' : '0' },
    ...(template !== undefined && { HYPERD_TEMPLATE: template }),
    ...(resolvConf !== undefined && { HYPERD_RESOLV_CONF: resolvConf }),
  };
  return { cwd: dirname(path), env: { ...process.env, ...env } };
}

/** Throws where the process runs without the guard: the loader only prints a warning when it cannot use it. */
export async function requireGuarded(pid: number, { path }: NetworkGuard): Promise<void> {
  try {
    if ((await readFile(`/proc/${pid}/maps`, 'utf8')).includes(`/${basename(path)}`)) return;
  } catch (error) {
    throw new HyperError('machine', `look for network guard in QEMU: ${messageOf(error)}`, { cause: error });
  }
  throw new HyperError('machine', `start QEMU: it does not load the network guard ${path}`);
}
