import { isBelow } from '../api-version.ts';
import { type Answer, type Call, env, type Route } from '../call.ts';
import { daemonInfo } from '../daemon-info.ts';
import { ofSchema, ofType } from '../describe.ts';
import { listData, requireListed } from '../shapes/list.ts';
import { DaemonInfo, ListAnswer, VersionAnswer } from '../shapes/schemas.ts';
import type { RouteContext } from './context.ts';

/** The daemon itself, and what it has. */
export function systemRoutes(context: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/_ping', parameters: {} },
      summary: 'Tells that the daemon answers',
      answers: { 200: ofType('text/plain', '`OK`') },
      handle: () => ({ kind: 'text', status: 200, text: 'OK' }),
    },
    {
      ...{ method: 'GET', path: '/info', parameters: {} },
      summary: 'Describes the daemon and its host',
      answers: { 200: ofSchema(DaemonInfo, 'numbers of pods, containers and images; drivers; host') },
      handle: async () => env(200, await daemonInfo(context)),
    },
    {
      ...{ method: 'GET', path: '/version', parameters: {} },
      summary: 'Tells the version of the daemon',
      answers: { 200: ofSchema(VersionAnswer, '`ID` (process id), `Version`') },
      handle: () => env(200, { ID: String(process.pid), Version: context.about.version }),
    },
    {
      ...{ method: 'GET', path: '/list', statuses: { 'invalid-argument': 500 } },
      summary: 'Lists pods, containers or machines',
      parameters: {
        item: '`pod`, `container` or `vm`',
        pod: 'only of this pod',
        vm: 'only of this machine',
        auxiliary: 'no effect: there are no containers but those that were asked for',
      },
      answers: {
        201: ofSchema(
          ListAnswer,
          '`item` and `podData`, `cData` or `vmData`: strings with `:` between the fields (200 with `Item` as well below 0.6)',
        ),
        500: 'another `item`; below 0.8 also an unknown pod or machine',
      },
      handle: (call) => listed(context, call),
    },
  ];
}

function listed({ pods, machines }: RouteContext, { parameters, version }: Call): Answer {
  const item = parameters.text('item');
  const query = { item, pod: parameters.text('pod'), machine: parameters.text('vm') };
  const found = { pods: pods.list(), machines: machines.list() };
  if (isBelow(version, [0, 8])) requireListed(query, found);
  const data = listData(query, found.pods, found.machines);
  const isOld = isBelow(version, [0, 6]);
  return env(isOld ? 200 : 201, { item, ...(isOld ? { Item: item } : {}), ...data });
}
