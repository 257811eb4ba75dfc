import type { Static } from 'typebox';
import type { PodView } from '../../pods/pod-service.ts';
import type { VolumeSpec } from '../../pods/spec/index.ts';
import { containerShape, containerStatus, seconds, time } from './container-info.ts';
import { omitEmpty } from './omit-empty.ts';
import { portMappingShape } from './port-mapping.ts';
import type * as schemas from './schemas.ts';

const API_VERSION = '1.17';
type PodInfo = Static<typeof schemas.PodInfo>;

function podPhase({ state }: PodView): PodInfo['status']['phase'] {
  switch (state.phase) {
    case 'pending':
    case 'starting':
      return 'Pending';
    case 'running':
    case 'stopping':
      return 'Running';
    case 'paused':
      return 'Paused';
    case 'ended':
      return state.outcome === 'succeeded' ? 'Succeeded' : 'Failed';
    case 'removing':
      return 'Failed'; // a view from before; it is found by nobody any more
  }
}

/** `PodInfo` of /pod/info. */
export function podInfo(view: PodView): PodInfo {
  const { spec } = view;
  return {
    ...{ podID: view.id, podName: view.id, kind: 'Pod', apiVersion: API_VERSION },
    ...omitEmpty({ vm: view.machineId }),
    createdAt: seconds(view.createdAt),
    spec: omitEmpty({
      volumes: volumesOf(view).map(({ name, source, format }) => omitEmpty({ name, source, driver: format })),
      containers: view.containers.map(containerShape),
      labels: spec.labels,
      portMappings: spec.portMappings.map(portMappingShape),
      vcpu: spec.resource.vcpus,
      memory: spec.resource.memoryMib,
    }),
    status: podStatus(view),
    ...omitEmpty({ startTrace: startTraceShape(view) }),
  };
}

function startTraceShape({ startTrace }: PodView): PodInfo['startTrace'] {
  if (!startTrace) return undefined;
  const { startedAt, source, ready, phases, totalMs, firstByteMs } = startTrace;
  return {
    startedAt: startedAt.toISOString(),
    ...omitEmpty({ machine: source, ready }),
    phases: phases.map((phase) => ({ ...phase })),
    ...omitEmpty({ totalMs, firstByteMs }),
  };
}

/** The pod's volumes, and those that its containers brought. */
function volumesOf({ spec, containers }: PodView): VolumeSpec[] {
  const brought = containers.flatMap((container) =>
    container.spec.volumes.flatMap(({ detail, volume }) =>
      detail ? [{ ...detail, name: volume || detail.name }] : [],
    ),
  );
  return [...spec.volumes, ...brought];
}

/** `PodStatus` of PodInfo. */
export function podStatus(view: PodView): PodInfo['status'] {
  const { state } = view;
  const startedAt = 'startedAt' in state ? state.startedAt : undefined;
  return {
    phase: podPhase(view),
    ...omitEmpty({
      message: state.phase === 'ended' ? state.message : undefined,
      podIP: [...view.addresses],
      startTime: startedAt ? time(startedAt) : undefined,
      finishTime: state.phase === 'ended' ? time(state.finishedAt) : undefined,
      containerStatus: view.containers.map(containerStatus),
    }),
  };
}
