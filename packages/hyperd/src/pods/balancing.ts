import { HyperError } from '../errors.ts';
import type { ServiceSpec } from './spec/pod-spec.ts';

/** `update` replaces the whole set. */
export type ServiceChange = 'add' | 'update' | 'delete';

/** The services of a pod after a change. A service is known by address, port and protocol. Throws `conflict` where one to add is there. */
export function changedServices(
  current: readonly ServiceSpec[],
  change: ServiceChange,
  given: readonly ServiceSpec[],
): ServiceSpec[] {
  if (change === 'update') return [...given];
  const keys = new Set(given.map(keyOf));
  const others = current.filter((service) => !keys.has(keyOf(service)));
  if (change === 'delete') return others;
  const taken = current.find((service) => keys.has(keyOf(service)));
  if (taken) throw new HyperError('conflict', `add service ${keyOf(taken)}: the pod has it`);
  return [...current, ...given];
}

function keyOf({ serviceIP, servicePort, protocol }: ServiceSpec): string {
  return `${serviceIP}:${servicePort}/${protocol}`;
}
