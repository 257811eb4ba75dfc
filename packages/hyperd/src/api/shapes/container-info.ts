import type { Static } from 'typebox';
import type { ContainerView } from '../../pods/pod-service.ts';
import { omitEmpty } from './omit-empty.ts';
import type * as schemas from './schemas.ts';

type Phase = Static<typeof schemas.ContainerStatus>['phase'];

/** A container's state in the original's words. */
export function containerPhase({ state }: ContainerView): Phase {
  if (state.phase !== 'exited') return state.phase;
  return state.exitCode === 0 && state.startedAt !== undefined ? 'succeeded' : 'failed';
}

/** `Container` of /pod/info and /container/info; its name has a slash in front. */
export function containerShape(view: ContainerView): Static<typeof schemas.Container> {
  const [program, ...args] = view.args;
  return {
    ...{ name: `/${view.name}`, containerID: view.id, image: view.spec.image, imageID: view.imageId },
    ...omitEmpty({
      commands: program === undefined ? [] : [program],
      args,
      workingDir: view.workingDir,
      tty: view.tty,
      labels: view.spec.labels,
      env: view.env.map((entry) => {
        const equals = entry.indexOf('=');
        return { env: entry.slice(0, equals), ...omitEmpty({ value: entry.slice(equals + 1) }) };
      }),
      volumeMounts: [
        ...view.spec.volumes.map(({ volume, path, readOnly, detail }) =>
          omitEmpty({ name: volume || detail?.name, mountPath: path, readOnly }),
        ),
        ...view.imageVolumes.map((path) => ({ name: imageVolumeName(view.id, path), mountPath: path })),
      ],
    }),
  };
}

/** `ContainerStatus`: the three sub-objects are always there, empty where they do not apply. */
export function containerStatus(view: ContainerView): Static<typeof schemas.ContainerStatus> {
  const { state } = view;
  const phase = containerPhase(view);
  const startedAt = state.phase !== 'pending' && state.startedAt ? time(state.startedAt) : '';
  return {
    name: view.name,
    containerID: view.id,
    phase,
    waiting: phase === 'pending' ? { reason: 'Pending' } : {},
    running: phase === 'running' ? omitEmpty({ startedAt }) : {},
    terminated:
      state.phase === 'exited'
        ? omitEmpty({
            exitCode: state.exitCode,
            reason: phase === 'succeeded' ? 'Succeeded' : 'Failed',
            message: state.message,
            startedAt,
            finishedAt: time(state.finishedAt),
          })
        : {},
  };
}

/** `ContainerInfo` of /container/info. */
export function containerInfo(view: ContainerView): Static<typeof schemas.ContainerInfo> {
  return {
    container: containerShape(view),
    createdAt: seconds(view.createdAt),
    podID: view.podId,
    status: containerStatus(view),
  };
}

/** RFC 3339 of ms since the epoch. */
export function time(ms: number): string {
  return new Date(ms).toISOString();
}

/** Whole seconds since the epoch. */
export function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}

/** The original's name of a volume that only the image asks for. */
function imageVolumeName(container: string, path: string): string {
  return `${container}${path.replaceAll('/', '_')}`;
}
