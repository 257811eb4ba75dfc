import { randomBytes } from 'node:crypto';
import type { GuestIdentity } from '../guest/index.ts';

/** A new machine's own identity: no two clones of a template share it. */
export function identityOf(hostname: string): Omit<GuestIdentity, 'network'> {
  return { hostname, machineId: randomBytes(16).toString('hex') };
}
