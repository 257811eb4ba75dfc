import { HyperError, isHyperError, messageOf } from '../../errors.ts';
import type { ClientStreams, ContainerView, PodService } from '../../pods/pod-service.ts';
import { PodSchema, parsePodSpec } from '../../pods/spec/index.ts';
import type { ProcessEnd, Route } from '../call.ts';
import type { RouteContext } from './context.ts';
import { TELLS_END } from './exec-attach.ts';
import { firstContainer } from './pod-runs.ts';
import { bodyOf } from './pods.ts';

/** Exit code of what could not be started for a reason that is not its own. */
const NOT_STARTED = 1;

/** A frame without payload: the container has been started. */
const STARTED = new Uint8Array(0);

/** A pod's whole life in one call. */
export function runRoutes({ pods }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'POST', path: '/run', body: 'json', bodySchema: PodSchema },
      summary:
        'Creates a pod, starts it with this connection joined to its first container, and tells how that ended',
      parameters: {
        remove:
          '`yes`, `true` or `on`: the pod is removed when it has ended, before the end is told; also where the client has gone meanwhile',
      },
      answers: {
        101: `${TELLS_END}; a frame without payload says that it has been started. \`Hyper-Pod-Id\`, \`Hyper-Container-Id\` and \`Hyper-Tty\` (\`yes\` or \`no\`) say what it is`,
        404: 'an image is missing',
        409: 'the name is taken',
        500: 'the specification breaks a rule',
      },
      open: async (call) => {
        const remove = call.parameters.isYes('remove');
        const spec = parsePodSpec(bodyOf(call.json));
        if (spec.containers.length === 0)
          throw new HyperError('invalid-spec', 'run pod: containers is empty, want at least one');
        const pod = await pods.create(remove ? { ...spec, autoRemove: true } : spec);
        const first = firstContainer(pods, pod);
        return {
          ...{ framed: true, detachKeys: first.tty },
          headers: {
            'Hyper-Pod-Id': pod,
            'Hyper-Container-Id': first.id,
            'Hyper-Tty': first.tty ? 'yes' : 'no',
          },
          run: (client) => runToEnd(pods, { pod, first, remove }, client),
        };
      },
    },
  ];
}

interface Run {
  readonly pod: string;
  readonly first: ContainerView;
  readonly remove: boolean;
}

/** Resolves without an end where the client has gone, or detached: what has been started goes on then. */
async function runToEnd(
  pods: PodService,
  { pod, first, remove }: Run,
  client: ClientStreams,
): Promise<ProcessEnd | undefined> {
  using ended = watchEnd(pods, pod, first.id);
  const failed = new AbortController();
  const signal = AbortSignal.any([client.signal, failed.signal]);
  const attached = pods.attach(first.id, { ...client, signal });
  attached.catch(() => undefined); // looked at below, when the pod has been started
  const problem = await startUnless(client.signal, pods, pod);
  let end: ProcessEnd;
  if (problem === undefined) {
    await client.write('stdout', STARTED);
    await attached;
    if (client.signal.aborted) return undefined;
    end = { exitCode: await ended.exitCode(client.signal) };
  } else {
    failed.abort();
    await attached.catch(() => undefined); // the reason that counts is the other one
    end = { exitCode: await ended.exitCodeOfFailure(), message: messageOf(problem) };
  }
  if (remove) await pods.remove(pod).catch(unlessGone);
  return end;
}

/** Resolves with why the pod was not started; undefined: it was. */
async function startUnless(gone: AbortSignal, pods: PodService, pod: string): Promise<unknown> {
  if (gone.aborted) return new HyperError('canceled', `start pod "${pod}": the client has gone`);
  try {
    await pods.start(pod);
    return undefined;
  } catch (error) {
    return error;
  }
}

interface EndWatch extends Disposable {
  exitCode(signal: AbortSignal): Promise<number>;
  /** Of a container that could not be started. */
  exitCodeOfFailure(): Promise<number>;
}

/** Tells how a container ends, also one whose pod is removed at once. */
function watchEnd(pods: PodService, pod: string, container: string): EndWatch {
  const left = new AbortController();
  const over = pods.waitPod(pod, { next: true, signal: left.signal });
  over.catch(() => undefined); // asked for only where the pod has been removed, and has been told over by then
  const codeOf = ({ state }: ContainerView): number =>
    state.phase === 'exited' ? state.exitCode : NOT_STARTED;
  const codeInEnd = async (error: unknown): Promise<number> => {
    unlessGone(error);
    const ended = (await over).containers.find(({ id }) => id === container);
    return ended ? codeOf(ended) : NOT_STARTED;
  };
  return {
    exitCode: async (signal) => {
      try {
        return await pods.wait(container, signal);
      } catch (error) {
        return await codeInEnd(error);
      }
    },
    exitCodeOfFailure: async () => {
      try {
        return codeOf(pods.container(container));
      } catch (error) {
        return await codeInEnd(error);
      }
    },
    [Symbol.dispose]: () => left.abort(),
  };
}

function unlessGone(error: unknown): void {
  if (!isHyperError(error, 'not-found')) throw error;
}
