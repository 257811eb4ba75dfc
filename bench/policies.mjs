// How hyperd comes by machines, in the words of its configuration file.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { call, socketOf } from './api.mjs';

const FILL_TIMEOUT_MS = 180_000;

/** Its own default: a pool of machines that wait. */
export const POOL = '';
/** Every start clones a template. */
export const CLONE = 'PoolMax=0\n';

/**
 * Resolves when the pool has a machine that waits and makes no other; `imageId`: one that is ready for that image. At once where there is no pool.
 */
export async function poolFilled({ HYPER_HOST }, imageId) {
  const wanted = imageId && ` for ${imageId.replace('sha256:', '').slice(0, 12)}`;
  const deadline = Date.now() + FILL_TIMEOUT_MS;
  for (;;) {
    const { DriverStatus } = await call(socketOf(HYPER_HOST), 'GET', '/info');
    const { Pool: pool = 'off', 'Pool machines': machines = '' } = Object.fromEntries(DriverStatus);
    if (pool === 'off') return;
    if (machines.includes(wanted ?? 'CPU') && !pool.includes('in the making')) return;
    if (Date.now() > deadline)
      throw new Error(`fill the pool: "${pool}: ${machines}" after ${FILL_TIMEOUT_MS} ms`);
    await sleep(20);
  }
}

/** As after an installation: the daemon begins without templates, and without pods. */
export async function forgetTemplates(hyperd) {
  await hyperd.stop();
  rmSync(join(hyperd.root, 'templates'), { recursive: true, force: true });
  await hyperd.start();
}
