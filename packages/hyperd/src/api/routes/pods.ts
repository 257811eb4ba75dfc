import { HyperError } from '../../errors.ts';
import { signalNumber } from '../../pods/run-spec.ts';
import { parsePodSpec } from '../../pods/spec/index.ts';
import { type ApiVersion, isBelow } from '../api-version.ts';
import { type Call, done, env, json, type Route } from '../call.ts';
import type { Parameters } from '../parameters.ts';
import { parseJson } from '../request-body.ts';
import { podInfo } from '../shapes/pod-info.ts';
import { podStats } from '../shapes/pod-stats.ts';
import type { RouteContext } from './context.ts';

const SIGTERM = 15;
const POD = { podId: 'id of the pod' };

/** Pods. */
export function podRoutes({ pods }: RouteContext): Route[] {
  const podOf = (parameters: Parameters): string => parameters.text('podId', 'podName');
  return [
    {
      ...{ method: 'POST', path: '/pod/create', body: 'json', statuses: { conflict: 500 } },
      summary: 'Creates a pod of the specification in the body; it is `pending` until started',
      parameters: { podArgs: 'the specification, where it is not the body' },
      answers: '201 `ID`, `Code` 0, `Cause`; 404 when an image is missing',
      handle: async (call) => done(201, await pods.create(parsePodSpec(podJson(call)))),
    },
    {
      ...{ method: 'GET', path: '/pod/info', answers: '200 PodInfo' },
      summary: 'Describes a pod and its containers',
      parameters: { 'podName/podId': 'id of the pod' },
      handle: ({ parameters }) => json(200, podInfo(pods.pod(parameters.text('podName', 'podId')))),
    },
    {
      ...{ method: 'POST', path: '/pod/labels', answers: '201 `ID`, `Code` 0, `Cause`' },
      summary: 'Sets labels of a pod',
      parameters: { ...POD, labels: 'a JSON object of strings', override: '`yes` or `true`: replace values' },
      handle: ({ parameters }) => {
        const id = podOf(parameters);
        pods.setLabels(id, labelsOf(parameters), parameters.isOneOf('override', ['yes', 'true']));
        return done(201, id);
      },
    },
    {
      ...{ method: 'POST', path: '/pod/start', answers: '200 `{}`' },
      summary: 'Starts a pod: gives it a machine, starts all containers that do not run',
      parameters: { ...POD, vmId: 'an idle machine for it' },
      handle: async ({ parameters, version }) => {
        const machine = parameters.text('vmId');
        await pods.start(podOf(parameters), machine === '' ? {} : { machine });
        if (!isBelow(version, [0, 8])) return env(200, {});
        return env(200, { ID: parameters.text('vmId'), Code: 0, Cause: 'Start POD success' });
      },
    },
    {
      ...{ method: 'POST', path: '/pod/stop', answers: '200 `ID`, `Code`, `Cause`' },
      summary: 'Stops a pod: stop signal, 5 s, SIGKILL; its machine ends',
      parameters: {
        ...POD,
        'stopVm/stopVM': '`no`: the machine is kept for another pod (below 0.6 unless it is `yes`)',
      },
      handle: async ({ parameters, version }) => {
        const id = podOf(parameters);
        const keepMachine = keepsMachine(parameters.optional('stopVm', 'stopVM'), version);
        await pods.stop(id, { keepMachine });
        return env(200, { ID: id, Code: stopCode(version, !keepMachine), Cause: '' });
      },
    },
    {
      ...{
        method: 'GET',
        path: '/pod/stats',
        answers: '200 PodStats',
        statuses: { precondition: 500, 'not-found': 500 },
      },
      summary: 'Tells what a running pod and its containers have used',
      parameters: { 'podId/podName': 'id of the pod' },
      handle: async ({ parameters }) => json(200, podStats(await pods.stats(podOf(parameters)), new Date())),
    },
    {
      ...{ method: 'POST', path: '/pod/kill', answers: '200 `{}`' },
      summary: 'Signals one or all containers of a pod; signal 9 without container ends the machine',
      parameters: {
        'podName/podId': 'id of the pod',
        container: 'name, id or prefix of an id',
        signal: 'number or name (default 15)',
      },
      handle: async ({ parameters }) => {
        const container = parameters.text('container');
        await pods.kill(parameters.text('podName', 'podId'), {
          ...(container === '' ? {} : { container }),
          signal: signalOf(parameters),
        });
        return json(200, {});
      },
    },
    {
      ...{ method: 'POST', path: '/pod/pause', parameters: POD, answers: '204' },
      summary: 'Stops the clocks of a pod',
      handle: async ({ parameters }) => {
        await pods.pause(podOf(parameters));
        return { kind: 'empty', status: 204 };
      },
    },
    {
      ...{ method: 'POST', path: '/pod/unpause', parameters: POD, answers: '204' },
      summary: 'Lets a paused pod go on',
      handle: async ({ parameters }) => {
        await pods.unpause(podOf(parameters));
        return { kind: 'empty', status: 204 };
      },
    },
    {
      ...{ method: 'DELETE', path: '/pod', parameters: POD, answers: '200 `ID`, `Code` 0, `Cause`' },
      summary: 'Ends a pod and removes everything of it',
      handle: async ({ parameters }) => {
        const id = podOf(parameters);
        await pods.remove(id);
        return done(200, id);
      },
    },
  ];
}

/** The signal of a call: a number or a name; 15 where it is missing or none, as in the original. */
export function signalOf(parameters: Parameters): number {
  const text = parameters.text('signal').trim();
  try {
    return text === '' ? SIGTERM : signalNumber(text);
  } catch {
    return SIGTERM;
  }
}

function podJson({ parameters, json: body }: Call): unknown {
  const text = parameters.optional('podArgs');
  if (text !== undefined) return parseJson(text, 'podArgs');
  if (body !== undefined) return body;
  throw new HyperError('invalid-argument', 'create pod: no specification; send it as a JSON body');
}

function labelsOf(parameters: Parameters): Record<string, string> {
  const labels = parseJson(parameters.required('labels'), 'labels');
  const isMap = typeof labels === 'object' && labels !== null && !Array.isArray(labels);
  if (isMap && Object.values(labels).every((value) => typeof value === 'string')) {
    return labels as Record<string, string>;
  }
  throw new HyperError('invalid-argument', 'read labels: want a JSON object whose values are strings');
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
