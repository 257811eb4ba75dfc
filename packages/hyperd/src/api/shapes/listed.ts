import { type Static, Type } from 'typebox';
import { HyperError } from '../../errors.ts';
import type { MachineSummary } from '../../machines/machine.ts';
import type { PodView } from '../../pods/pod-service.ts';
import { filterLists, hasLabel } from '../filters.ts';
import { containerPhase } from './container-info.ts';
import { type ListQuery, listedStatus, machineStatus } from './list.ts';

const labels = Type.Record(Type.String(), Type.String());
const time = Type.String({ format: 'date-time' });

const ListedContainer = Type.Object({
  id: Type.String(),
  name: Type.String(),
  pod: Type.String(),
  status: Type.String(),
  image: Type.String(),
  labels,
  createdAt: time,
  exitCode: Type.Optional(Type.Integer({ description: 'of one that has ended' })),
});
const ListedPod = Type.Object({
  id: Type.String(),
  status: Type.String(),
  machine: Type.String({ description: 'empty without one' }),
  labels,
  createdAt: time,
  containers: Type.Array(Type.String({ description: 'name' })),
});
const ListedMachine = Type.Object({
  id: Type.String(),
  pod: Type.String({ description: 'empty without one' }),
  status: Type.String(),
});

export const Listed = Type.Union([
  Type.Array(ListedPod),
  Type.Array(ListedContainer),
  Type.Array(ListedMachine),
]);

export const LIST_FILTERS = ['label', 'status'];

/**
 * What /list lists, as objects. `filters`: values of `status` are alternatives, labels have all to be there. Throws `invalid-argument` for an unknown item or
 * filter.
 */
export function listed(
  { item, pod, machine }: ListQuery,
  filters: string,
  all: { readonly pods: readonly PodView[]; readonly machines: readonly MachineSummary[] },
): Static<typeof Listed> {
  const passes = listFilter(filters);
  const pods = all.pods.filter(
    ({ id, machineId }) => (pod === '' || id === pod) && (machine === '' || machineId === machine),
  );
  switch (item) {
    case 'pod':
      return pods.map(podObject).filter(passes);
    case 'container':
      return pods.flatMap(containerObjects).filter(passes);
    case 'vm':
      return all.machines
        .filter(({ id, owner }) => (machine === '' || id === machine) && (pod === '' || owner === pod))
        .map((found) => ({
          ...{ id: found.id, pod: found.owner ?? '', status: machineStatus(found, all.pods) },
        }))
        .filter(passes);
    default:
      throw new HyperError('invalid-argument', `list "${item}": want pod, container or vm`);
  }
}

function podObject(view: PodView): Static<typeof ListedPod> {
  return {
    ...{ id: view.id, status: listedStatus(view), machine: view.machineId ?? '' },
    ...{ labels: { ...view.spec.labels }, createdAt: view.createdAt.toISOString() },
    containers: view.containers.map(({ name }) => name),
  };
}

function containerObjects({ containers }: PodView): Static<typeof ListedContainer>[] {
  return containers.map((container) => ({
    ...{ id: container.id, name: container.name, pod: container.podId, status: containerPhase(container) },
    ...{ image: container.spec.image, labels: { ...container.spec.labels } },
    createdAt: container.createdAt.toISOString(),
    ...(container.state.phase === 'exited' ? { exitCode: container.state.exitCode } : {}),
  }));
}

function listFilter(
  text: string,
): (entry: { readonly status: string; readonly labels?: Readonly<Record<string, string>> }) => boolean {
  const lists = filterLists(text, LIST_FILTERS);
  const [wanted, statuses] = [lists.get('label') ?? [], lists.get('status') ?? []];
  return ({ status, labels: own = {} }) =>
    (statuses.length === 0 || statuses.includes(status)) && wanted.every((label) => hasLabel(own, label));
}
