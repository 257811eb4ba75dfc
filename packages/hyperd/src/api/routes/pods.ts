import { HyperError } from '../../errors.ts';
import { PodSchema, type PodSpec, parsePodSpec } from '../../pods/spec/index.ts';
import { signalNumber } from '../../signals.ts';
import { isBelow } from '../api-version.ts';
import { type Call, done, json, type PlainRoute, type Route } from '../call.ts';
import { jsonText, needed, ofSchema } from '../describe.ts';
import type { Parameters } from '../parameters.ts';
import { parseJson } from '../request-body.ts';
import { podInfo } from '../shapes/pod-info.ts';
import { podStats } from '../shapes/pod-stats.ts';
import { ActionAnswer, EmptyAnswer, Labels, PodInfo } from '../shapes/schemas.ts';
import { PodStats } from '../shapes/usage-schemas.ts';
import type { RouteContext } from './context.ts';

const SIGTERM = 15;
const POD = { 'podId/podName': 'id of the pod' };
const UNKNOWN = 'unknown pod';

/** Pods. */
export function podRoutes({ pods }: RouteContext): Route[] {
  const removed = removal({ pods });
  return [
    {
      ...{ method: 'POST', path: '/pod/create', body: 'json', bodySchema: PodSchema },
      statuses: { conflict: 500 },
      summary: 'Creates a pod of the specification in the body; it is `pending` until started',
      parameters: SPECIFICATION,
      answers: {
        201: ofSchema(ActionAnswer, '`ID`, `Code` 0, `Cause` (200 below 0.6)'),
        404: 'an image is missing',
        500: 'the specification breaks a rule, or the name is taken',
      },
      handle: async (call) => {
        const began = performance.now();
        const id = await pods.create(podSpecOf(call));
        const headers = { 'Server-Timing': `total;dur=${(performance.now() - began).toFixed(1)}` };
        return { ...done(isBelow(call.version, [0, 6]) ? 200 : 201, id), headers };
      },
    },
    {
      ...{ method: 'POST', path: '/pod/run', body: 'json', bodySchema: PodSchema },
      statuses: { conflict: 500 },
      summary: 'Creates a pod and starts it, for clients of the first releases',
      parameters: SPECIFICATION,
      answers: { 200: ofSchema(ActionAnswer, '`ID`, `Code` 0, `Cause`'), 404: 'an image is missing' },
      handle: async (call) => {
        const id = await pods.create(podSpecOf(call));
        try {
          await pods.start(id);
        } catch (error) {
          await pods.remove(id);
          throw error;
        }
        return done(200, id);
      },
    },
    {
      ...{ method: 'GET', path: '/pod/info', parameters: { 'podName/podId': 'id of the pod' } },
      summary: 'Describes a pod and its containers',
      answers: { 200: ofSchema(PodInfo, 'PodInfo (201 below 0.6)'), 404: UNKNOWN },
      handle: ({ parameters, version }) =>
        json(isBelow(version, [0, 6]) ? 201 : 200, podInfo(pods.pod(parameters.text('podName', 'podId')))),
    },
    {
      ...{ method: 'POST', path: '/pod/labels' },
      summary: 'Sets labels of a pod',
      parameters: {
        ...POD,
        labels: needed(jsonText('a JSON object of strings', Labels)),
        override: '`yes` or `true`: replace values',
      },
      answers: {
        201: ofSchema(ActionAnswer, '`ID`, `Code` 0, `Cause`'),
        404: UNKNOWN,
        500: 'a label has a value already',
      },
      statuses: { 'invalid-argument': 500 },
      handle: ({ parameters }) => {
        const id = podOf(parameters);
        pods.setLabels(id, labelsOf(parameters), parameters.isOneOf('override', ['yes', 'true']));
        return done(201, id);
      },
    },
    {
      ...{ method: 'GET', path: '/pod/stats', parameters: POD, statuses: { precondition: 500 } },
      summary: 'Tells what a running pod and its containers have used',
      answers: {
        200: ofSchema(PodStats, 'PodStats (201 below 0.6)'),
        404: UNKNOWN,
        500: 'it does not run',
      },
      handle: async ({ parameters, version }) => {
        const stats = podStats(await pods.stats(podOf(parameters)), new Date());
        return json(isBelow(version, [0, 6]) ? 201 : 200, stats);
      },
    },
    {
      ...{ method: 'POST', path: '/pod/kill' },
      summary: 'Signals one or all containers of a pod; signal 9 without container ends the machine',
      parameters: {
        'podName/podId': 'id of the pod',
        container: 'name, id or prefix of an id',
        signal: 'number or name (default 15)',
      },
      answers: { 200: ofSchema(EmptyAnswer, '`{}`'), 404: 'unknown pod or container' },
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
      ...{ method: 'POST', path: '/pod/pause', parameters: POD, statuses: { precondition: 500 } },
      summary: 'Stops the clocks of a pod',
      answers: { 204: 'done', 404: UNKNOWN, 500: 'it does not run' },
      handle: async ({ parameters }) => {
        await pods.pause(podOf(parameters));
        return { kind: 'empty', status: 204 };
      },
    },
    {
      ...{ method: 'POST', path: '/pod/unpause', parameters: POD, statuses: { precondition: 500 } },
      summary: 'Lets a paused pod go on',
      answers: { 204: 'done', 404: UNKNOWN, 500: 'it is not paused' },
      handle: async ({ parameters }) => {
        await pods.unpause(podOf(parameters));
        return { kind: 'empty', status: 204 };
      },
    },
    { ...removed, method: 'DELETE', path: '/pod' },
    {
      ...removed,
      ...{ method: 'POST', path: '/pod/remove' },
      summary: 'The same for clients of the first releases',
    },
  ];
}

const SPECIFICATION = {
  podArgs: jsonText('the specification, where it is not the body', PodSchema),
  remove: '`yes` or `true`: remove the pod once it has ended; no effect from 0.6 on',
};

function removal({ pods }: Pick<RouteContext, 'pods'>): Omit<PlainRoute, 'method' | 'path'> {
  return {
    summary: 'Ends a pod and removes everything of it',
    parameters: POD,
    answers: { 200: ofSchema(ActionAnswer, '`ID`, `Code` 0, `Cause`'), 404: UNKNOWN },
    handle: async ({ parameters }) => {
      const id = podOf(parameters);
      await pods.remove(id);
      return done(200, id);
    },
  };
}

/** The pod that a call is about. */
export function podOf(parameters: Parameters): string {
  return parameters.text('podId', 'podName');
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

function podSpecOf(call: Call): PodSpec {
  const spec = parsePodSpec(podJson(call));
  const { parameters, version } = call;
  const isOld = version === undefined || isBelow(version, [0, 6]);
  return isOld && parameters.isOneOf('remove', ['yes', 'true']) ? { ...spec, autoRemove: true } : spec;
}

function podJson({ parameters, json: body }: Call): unknown {
  const text = parameters.optional('podArgs');
  if (text !== undefined) return parseJson(text, 'podArgs');
  return bodyOf(body);
}

/** A pod specification that has to be the body. */
export function bodyOf(body: unknown): unknown {
  if (body !== undefined) return body;
  throw new HyperError('invalid-spec', 'create pod: no specification; send it as a JSON body');
}

function labelsOf(parameters: Parameters): Record<string, string> {
  const labels = parseJson(parameters.text('labels'), 'labels');
  const isMap = typeof labels === 'object' && labels !== null && !Array.isArray(labels);
  if (isMap && Object.values(labels).every((value) => typeof value === 'string')) {
    return labels as Record<string, string>;
  }
  throw new HyperError('invalid-argument', 'read labels: want a JSON object whose values are strings');
}
