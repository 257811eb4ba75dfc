import { HyperError } from '../../errors.ts';
import { json, type Route } from '../call.ts';
import { needed, ofSchema } from '../describe.ts';
import { LIST_FILTERS, Listed, listed } from '../shapes/listed.ts';
import { podStatus } from '../shapes/pod-info.ts';
import { processesShape } from '../shapes/processes.ts';
import { PodEnd, ProcessList } from '../shapes/usage-schemas.ts';
import type { RouteContext } from './context.ts';
import { podOf } from './pods.ts';

/** Looking for pods and into containers, and waiting for them. */
export function watchingRoutes({ pods, machines }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/list/json' },
      summary: 'Lists pods, containers or machines as objects, with labels and more',
      parameters: {
        item: needed('`pod`, `container` or `vm`'),
        pod: 'only of this pod',
        vm: 'only of this machine',
        filters: `JSON object of lists: ${LIST_FILTERS.map((name) => `\`${name}\``).join(', ')}`,
      },
      answers: { 200: ofSchema(Listed, 'a list'), 400: 'another `item` or filter' },
      handle: ({ parameters }) => {
        const item = parameters.text('item');
        const query = { item, pod: parameters.text('pod'), machine: parameters.text('vm') };
        const found = { pods: pods.list(), machines: machines.list() };
        return json(200, listed(query, parameters.text('filters'), found));
      },
    },
    {
      ...{ method: 'GET', path: '/pod/wait' },
      summary: 'Waits until a pod does not run, nor waits to be started again by a restart policy',
      parameters: {
        'podId/podName': 'id of the pod',
        condition: '`not-running` (default): at once for one that does not run; `next-exit`: its next end',
      },
      answers: { 200: ofSchema(PodEnd, '`podID`, `exitCode`, `status` as in PodInfo'), 404: 'unknown pod' },
      handle: async ({ parameters, signal }) => {
        const next = isNextExit(parameters.text('condition'));
        const end = await pods.waitPod(podOf(parameters), { next, signal });
        return json(200, { podID: end.id, exitCode: end.exitCode, status: podStatus(end) });
      },
    },
    {
      ...{ method: 'GET', path: '/container/top' },
      summary: 'Lists what runs in a container, whoever has started it',
      parameters: { container: needed('name, id or unique prefix of an id') },
      answers: {
        200: ofSchema(ProcessList, '`processes`'),
        404: 'unknown container',
        412: 'it does not run',
      },
      handle: async ({ parameters }) =>
        json(200, processesShape(await pods.processes(parameters.required('container')), new Date())),
    },
  ];
}

function isNextExit(condition: string): boolean {
  if (['', 'not-running', 'next-exit'].includes(condition)) return condition === 'next-exit';
  throw new HyperError(
    'invalid-argument',
    `wait for pod: condition is "${condition}", want not-running or next-exit`,
  );
}
