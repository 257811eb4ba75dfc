// How hyperd is to come by machines, in the words of its configuration file.
import { setTimeout as sleep } from 'node:timers/promises';
import { call, socketOf } from './api.mjs';

const FILL_TIMEOUT_MS = 120_000;

/** Its own default: a pool of machines that wait. */
export const POOL = '';
/** Every start clones a template. */
export const CLONE = 'VmFactoryPolicy={"cache":0,"template":true,"cpu":1,"memory":128}\n';
/** Every start boots. */
export const BOOT = 'VmFactoryPolicy={"cache":0,"template":false,"cpu":1,"memory":128}\n';

/** Starts hyperd with a policy; resolves with why that cannot be had, if so. */
export async function usePolicy(hyperd, policy) {
  const from = hyperd.log().length;
  await hyperd.configure(policy);
  const ignored = policy !== POOL && hyperd.log(from).includes('VmFactoryPolicy has no effect');
  return ignored ? 'this hyperd has no VmFactoryPolicy' : undefined;
}

/** Resolves when the pool has all the machines that it wants; at once where the daemon tells of none. */
export async function poolFilled({ HYPER_HOST }) {
  const deadline = Date.now() + FILL_TIMEOUT_MS;
  for (;;) {
    const { Pool: pool } = await call(socketOf(HYPER_HOST), 'GET', '/info');
    if (!pool || pool.ready >= pool.wanted) return;
    if (Date.now() > deadline)
      throw new Error(`the pool has ${pool.ready} of ${pool.wanted} machines after ${FILL_TIMEOUT_MS} ms`);
    await sleep(50);
  }
}
