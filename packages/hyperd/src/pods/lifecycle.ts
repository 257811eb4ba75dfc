import { HyperError } from '../errors.ts';

/** Exit code of a process whose end nobody saw. */
export const LOST_EXIT_CODE = 255;

/** A container's life. Stored as JSON; times are ms since the epoch. */
export type ContainerState =
  | { readonly phase: 'pending' }
  | { readonly phase: 'running'; readonly startedAt: number; readonly restarts?: number }
  | {
      readonly phase: 'exited';
      /** undefined when it could not be started. */
      readonly startedAt: number | undefined;
      readonly finishedAt: number;
      readonly exitCode: number;
      readonly signal: number;
      /** What a user should know beyond the code: a start error, a lost machine. */
      readonly message: string | undefined;
      /** How often its policy has started it again, without a healthy run in between. */
      readonly restarts?: number;
      /** When it is started again, while it is to be. */
      readonly restartsAt?: number | undefined;
    };

/** A pod's life. `ended` pods can be started again; what is left of a `removing` one is about to go, and is seen by nobody. */
export type PodState =
  | { readonly phase: 'pending' }
  | { readonly phase: 'starting'; readonly restarts?: number }
  | { readonly phase: 'running'; readonly startedAt: number; readonly restarts?: number }
  | { readonly phase: 'paused'; readonly startedAt: number; readonly restarts?: number }
  | { readonly phase: 'stopping'; readonly startedAt: number; readonly restarts?: number }
  | {
      readonly phase: 'ended';
      readonly outcome: 'succeeded' | 'failed';
      readonly startedAt: number | undefined;
      readonly finishedAt: number;
      readonly message: string | undefined;
      /** As a container's, after the machine was lost. */
      readonly restarts?: number;
      readonly restartsAt?: number | undefined;
    }
  | { readonly phase: 'removing' };

export type PodEvent =
  | { readonly type: 'start' }
  | { readonly type: 'started'; readonly at: number }
  | { readonly type: 'pause' }
  | { readonly type: 'unpause' }
  | { readonly type: 'stop' }
  | {
      readonly type: 'end';
      readonly outcome: 'succeeded' | 'failed';
      readonly at: number;
      readonly message?: string | undefined;
    }
  | { readonly type: 'remove' };

/** Which phases each event may come in; everything else is a `precondition` error. */
const ALLOWED: Readonly<Record<PodEvent['type'], readonly PodState['phase'][]>> = {
  start: ['pending', 'ended'],
  started: ['starting'],
  pause: ['running'],
  unpause: ['paused'],
  stop: ['running', 'paused'],
  end: ['starting', 'running', 'paused', 'stopping'],
  remove: ['pending', 'ended', 'removing'],
};

/**
 * The state that `event` leads to. Throws `precondition` where the pod's phase does not allow it; `pod` is only for the message.
 */
export function podTransition(state: PodState, event: PodEvent, pod: string): PodState {
  const allowed = ALLOWED[event.type];
  if (!allowed.includes(state.phase)) {
    throw new HyperError(
      'precondition',
      `${event.type} pod "${pod}": it is ${state.phase}, and would have to be ${allowed.join(' or ')}`,
    );
  }
  const count = 'restarts' in state && state.restarts ? { restarts: state.restarts } : {};
  switch (event.type) {
    case 'start':
      return { phase: 'starting', ...count };
    case 'started':
      return { phase: 'running', startedAt: event.at, ...count };
    case 'pause':
      return { phase: 'paused', startedAt: startOf(state) ?? 0, ...count };
    case 'unpause':
      return { phase: 'running', startedAt: startOf(state) ?? 0, ...count };
    case 'stop':
      return { phase: 'stopping', startedAt: startOf(state) ?? 0, ...count };
    case 'end':
      return {
        phase: 'ended',
        ...count,
        outcome: event.outcome,
        startedAt: startOf(state),
        finishedAt: event.at,
        message: event.message,
      };
    case 'remove':
      return { phase: 'removing' };
  }
}

/** When the pod was started, in ms since the epoch; undefined when it never was. */
export function startOf(state: PodState): number | undefined {
  return 'startedAt' in state ? state.startedAt : undefined;
}

/** True while the pod has, or is about to have or lose, a machine. */
export function isAlive(state: PodState): boolean {
  return !['pending', 'ended', 'removing'].includes(state.phase);
}

/** How a pod ends by itself: well only if every container of it did. */
export function outcomeOf(containers: readonly ContainerState[]): 'succeeded' | 'failed' {
  return containers.every((state) => state.phase === 'exited' && state.exitCode === 0)
    ? 'succeeded'
    : 'failed';
}

/** Exit code of what could not be started. */
const NOT_STARTED_EXIT_CODE = 125;

/** The exit code of a pod: that of its first container that failed; 125 where the pod failed before any of them ran. */
export function exitCodeOf(pod: {
  readonly state: PodState;
  readonly containers: readonly { readonly state: ContainerState }[];
}): number {
  const exits = pod.containers.flatMap(({ state }) => (state.phase === 'exited' ? [state.exitCode] : []));
  const hasFailed = pod.state.phase === 'ended' && pod.state.outcome === 'failed';
  if (exits.length === 0 && pod.containers.length > 0) return hasFailed ? NOT_STARTED_EXIT_CODE : 0;
  return exits.find((code) => code !== 0) ?? 0;
}
