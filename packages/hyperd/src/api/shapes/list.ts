import { HyperError } from '../../errors.ts';
import type { MachineSummary } from '../../machines/machine.ts';
import type { PodView } from '../../pods/pod-service.ts';
import { containerPhase } from './container-info.ts';

/** A pod's state in the words of /list. */
export function listedStatus({ state }: PodView): string {
  if (state.phase === 'ended') return state.outcome;
  return state.phase === 'starting' ? 'pending' : state.phase;
}

/** `id:name:vm:status`, one string a pod. */
export function podStrings(pods: readonly PodView[]): string[] {
  return pods.map((pod) => [pod.id, pod.id, pod.machineId ?? '', listedStatus(pod)].join(':'));
}

/** `id:name:pod:status`, one string a container. */
export function containerStrings(pods: readonly PodView[]): string[] {
  return pods.flatMap((pod) =>
    pod.containers.map((container) =>
      [container.id, container.name, pod.id, containerPhase(container)].join(':'),
    ),
  );
}

/** `vm:pod:status`, one string a machine; a machine without a pod is `idle`. */
export function machineStrings(machines: readonly MachineSummary[], pods: readonly PodView[]): string[] {
  return machines.map((machine) => [machine.id, machine.owner ?? '', machineStatus(machine, pods)].join(':'));
}

/** A machine's state in the words of /list. */
export function machineStatus(
  { id, owner }: Pick<MachineSummary, 'id' | 'owner'>,
  pods: readonly PodView[],
): string {
  if (owner === undefined) return 'idle';
  const pod = pods.find(({ machineId }) => machineId === id);
  return pod?.state.phase === 'paused' ? 'paused' : 'associated';
}

export interface ListQuery {
  readonly item: string;
  /** Pod id; empty: all. */
  readonly pod: string;
  /** Machine id; empty: all. */
  readonly machine: string;
}

/** The data field of /list for the item that is asked for. Throws `invalid-argument` for an unknown item. */
export function listData(
  query: ListQuery,
  pods: readonly PodView[],
  machines: readonly MachineSummary[],
): Readonly<Record<string, string[]>> {
  const selected = pods.filter(
    (pod) =>
      (query.pod === '' || pod.id === query.pod) && (query.machine === '' || pod.machineId === query.machine),
  );
  switch (query.item) {
    case 'pod':
      return { podData: podStrings(selected) };
    case 'container':
      return { cData: containerStrings(selected) };
    case 'vm':
      return {
        vmData: machineStrings(
          machines.filter(
            ({ id, owner }) =>
              (query.machine === '' || id === query.machine) && (query.pod === '' || owner === query.pod),
          ),
          pods,
        ),
      };
    default:
      throw new HyperError('invalid-argument', `Can not support ${query.item} list!`);
  }
}

/** Throws `invalid-argument` where the pod or machine that is asked for is not there, as releases below 0.8 did. */
export function requireListed(
  query: ListQuery,
  found: { readonly pods: readonly PodView[]; readonly machines: readonly MachineSummary[] },
): void {
  const refuse = (what: string, id: string): never => {
    throw new HyperError('invalid-argument', `Cannot find specified ${what} ${id}`);
  };
  if (query.pod !== '' && !found.pods.some(({ id }) => id === query.pod)) refuse('pod', query.pod);
  if (query.machine !== '' && !found.machines.some(({ id }) => id === query.machine)) {
    refuse('vm', query.machine);
  }
}
