import { HyperError } from '../errors.ts';
import type { GuestService } from '../guest/index.ts';
import type { ServiceSpec } from './spec/pod-spec.ts';

/** More would not fit into one call of the guest's. */
const MAX_SERVICES = 256;

/** `update` replaces the whole set. */
export type ServiceChange = 'add' | 'update' | 'delete';

/** The services of a pod after a change. A service is known by address, port and protocol. Throws `conflict` where one to add is there, `limit`. */
export function changedServices(
  current: readonly ServiceSpec[],
  change: ServiceChange,
  given: readonly ServiceSpec[],
): ServiceSpec[] {
  if (change === 'update') return checked([...given]);
  const keys = new Set(given.map(keyOf));
  const others = current.filter((service) => !keys.has(keyOf(service)));
  if (change === 'delete') return others;
  const taken = current.find((service) => keys.has(keyOf(service)));
  if (taken) throw new HyperError('conflict', `add service ${keyOf(taken)}: the pod has it`);
  return checked([...current, ...given]);
}

/** Services as the guest takes them. */
export function guestServices(services: readonly ServiceSpec[]): GuestService[] {
  return services.map(({ serviceIP, servicePort, protocol, hosts }) => ({
    ...{ address: serviceIP, port: servicePort, udp: protocol === 'udp' },
    backends: hosts.map(({ hostIP, hostPort }) => ({ address: hostIP, port: hostPort })),
  }));
}

function checked(services: ServiceSpec[]): ServiceSpec[] {
  if (services.length <= MAX_SERVICES) return services;
  throw new HyperError('limit', `change services: ${services.length}, a pod may have ${MAX_SERVICES}`);
}

function keyOf({ serviceIP, servicePort, protocol }: ServiceSpec): string {
  return `${serviceIP}:${servicePort}/${protocol}`;
}
