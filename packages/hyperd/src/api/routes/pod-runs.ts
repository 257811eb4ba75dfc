import { HyperError, isHyperError } from '../../errors.ts';
import type { ClientStreams, ContainerView, PodService } from '../../pods/pod-service.ts';
import { type ApiVersion, clientVersion, isBelow } from '../api-version.ts';
import { type Call, env, type HijackedSession, json, type PlainRoute, type Route } from '../call.ts';
import type { ClientTags } from '../client-tags.ts';
import { ofSchema } from '../describe.ts';
import { GRACE, graceOf } from '../grace.ts';
import type { Parameters } from '../parameters.ts';
import { serverTiming } from '../server-timing.ts';
import { ActionAnswer, StartAnswer } from '../shapes/schemas.ts';
import type { RouteContext } from './context.ts';
import { podOf } from './pods.ts';

const POD = { 'podId/podName': 'id of the pod' };

/** Start and stop of pods, whose answers differ most between releases. */
export function podRunRoutes({ pods, clientTags }: RouteContext): Route[] {
  return [
    startRoute(pods, clientTags),
    {
      ...{ method: 'POST', path: '/pod/stop' },
      summary: 'Stops a pod: stop signal, time to obey, SIGKILL; its machine ends',
      parameters: {
        ...POD,
        'stopVm/stopVM': '`no`: the machine is kept for another pod (below 0.6 unless it is `yes`)',
        ...GRACE,
      },
      answers: {
        200: ofSchema(ActionAnswer, '`ID`, `Code` (0; below 0.8: 2 machine ended, 4 machine kept), `Cause`'),
        404: 'unknown pod',
      },
      handle: async ({ parameters, version }) => {
        const id = podOf(parameters);
        const keepMachine = keepsMachine(parameters.optional('stopVm', 'stopVM'), version);
        await pods.stop(id, { keepMachine, ...graceOf(parameters) });
        return env(200, { ID: id, Code: stopCode(version, !keepMachine), Cause: '' });
      },
    },
  ];
}

/** The phases of the start as a header; none for a pod that has gone meanwhile. */
function timingOf(pods: PodService, id: string): Readonly<Record<string, string>> {
  try {
    const { startTrace } = pods.pod(id);
    return startTrace ? { 'Server-Timing': serverTiming(startTrace) } : {};
  } catch (error) {
    if (isHyperError(error, 'not-found')) return {};
    throw error;
  }
}

function startRoute(pods: PodService, tags: ClientTags): PlainRoute {
  return {
    ...{ method: 'POST', path: '/pod/start' },
    summary: 'Starts a pod: gives it a machine, starts all containers that do not run',
    parameters: {
      ...POD,
      vmId: 'an idle machine for it',
      attach: '`yes`, `true` or `on`: join this connection to its first container, as /attach does',
      tag: 'the same with raw output, and a name for /exitcode and /tty/resize (below 0.6.2)',
    },
    answers: {
      200: ofSchema(
        StartAnswer,
        '`{}`; below 0.8 `ID` (the machine that was asked for), `Code` 0, `Cause`. The header `Server-Timing` has the phases of the start',
      ),
      101: 'with `attach` or `tag`: the session',
      404: 'unknown pod or machine',
      412: 'it is stopping',
    },
    handle: async ({ parameters, version }) => {
      const id = podOf(parameters);
      await pods.start(id, machineOf(parameters));
      const headers = timingOf(pods, id);
      if (!isBelow(version, [0, 8])) return { ...json(200, {}), headers };
      const answer = env(200, { ID: parameters.text('vmId'), Code: 0, Cause: 'Start POD success' });
      return { ...answer, headers };
    },
    session: {
      asked: (query) => query.text('tag') !== '' || query.isYes('attach'),
      isRaw: (query, headers) => query.text('tag') !== '' || readsRaw(clientVersion(headers)),
      open: (call) => startAttached(pods, tags, call),
    },
  };
}

/** Clients below 0.7 copy what a session sends as it is. */
export function readsRaw(version: ApiVersion | undefined): boolean {
  return isBelow(version, [0, 7]);
}

/** Joins the client to the pod's first container, then starts the pod. */
function startAttached(pods: PodService, tags: ClientTags, { parameters, headers }: Call): HijackedSession {
  const pod = podOf(parameters);
  const tag = parameters.text('tag');
  const first = firstContainer(pods, pod);
  if (tag !== '') tags.set(tag, { container: first.id });
  return {
    framed: !first.tty && tag === '' && !readsRaw(clientVersion(headers)),
    detachKeys: first.tty,
    async run(client) {
      const failed = new AbortController();
      const signal = AbortSignal.any([client.signal, failed.signal]);
      const attached = pods.attach(first.id, { ...client, signal } satisfies ClientStreams);
      attached.catch(() => undefined); // looked at below, when the pod has been started
      try {
        await pods.start(pod, machineOf(parameters));
      } catch (error) {
        failed.abort();
        await attached.catch(() => undefined); // the reason that counts is the other one
        throw error;
      }
      await attached;
    },
  };
}

/** The first container of a pod. Throws `not-found` for an unknown pod, `precondition` for one without containers. */
export function firstContainer(pods: PodService, pod: string): ContainerView {
  const [first] = podToStart(pods, pod).containers;
  if (first) return first;
  throw new HyperError('precondition', `attach to pod "${pod}": it has no container`);
}

function podToStart(pods: PodService, pod: string): ReturnType<PodService['pod']> {
  try {
    return pods.pod(pod);
  } catch (error) {
    if (!isHyperError(error, 'not-found')) throw error;
    throw new HyperError('not-found', `The pod(${pod}) can not be found, please create it first`, {
      cause: error,
    });
  }
}

function machineOf(parameters: Parameters): { readonly machine?: string } {
  const machine = parameters.text('vmId');
  return machine === '' ? {} : { machine };
}

/** Where the parameter is missing, releases below 0.6 kept the machine, all others ended it. */
function keepsMachine(stopVm: string | undefined, version: ApiVersion | undefined): boolean {
  if (stopVm === undefined || stopVm === '') return isBelow(version, [0, 6]);
  return isBelow(version, [0, 6]) ? stopVm !== 'yes' : ['no', 'false', '0'].includes(stopVm.toLowerCase());
}

/** What the client's release takes for success: 2 (machine ended) or 4 (pod stopped) below 0.8, else 0. */
function stopCode(version: ApiVersion | undefined, stopVm: boolean): number {
  if (!isBelow(version, [0, 8])) return 0;
  return stopVm || !isBelow(version, [0, 6]) ? 2 : 4;
}
