import { HyperError } from '../../errors.ts';
import { readJson } from '../../pods/spec/index.ts';
import { env, json, type Route } from '../call.ts';
import { needed, ofSchema } from '../describe.ts';
import { networkShape } from '../shapes/network.ts';
import { NetworkInfo, NetworkList, NetworkName, NetworkRequest } from '../shapes/network-schemas.ts';
import type { RouteContext } from './context.ts';

const NAME = { name: needed('name of the network') };
const UNKNOWN = 'unknown network';

/** Bridged networks; the original has none of these. */
export function networkRoutes({ networks }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'POST', path: '/network/create', body: 'json', bodySchema: NetworkRequest },
      statuses: { 'invalid-spec': 400 },
      summary: 'Creates a network: a bridge of the host for pods that are to reach each other',
      parameters: {},
      answers: {
        201: ofSchema(NetworkName, '`Name`'),
        400: 'a value that cannot be',
        403: 'the daemon has no privileges for that',
        409: 'the name or the addresses are in use',
      },
      handle: async ({ json: body }) => {
        const { name = '', ...request } = readJson(NetworkRequest, body, '');
        if (name === '') throw new HyperError('invalid-argument', 'create network: "name" is missing');
        return env(201, { Name: (await networks.create({ name, ...request })).name });
      },
    },
    {
      ...{ method: 'GET', path: '/network/list', parameters: {} },
      summary: 'Lists networks',
      answers: { 200: ofSchema(NetworkList, '`networks`') },
      handle: () =>
        json(200, {
          networks: networks.list().map((network) => networkShape(network, networks.attachmentsOf(network))),
        }),
    },
    {
      ...{ method: 'GET', path: '/network/info', parameters: NAME },
      summary: 'Describes a network and the pods on it',
      answers: { 200: ofSchema(NetworkInfo, 'the network'), 404: UNKNOWN },
      handle: ({ parameters }) => {
        const network = networks.network(parameters.text('name'));
        return json(200, networkShape(network, networks.attachmentsOf(network)));
      },
    },
    {
      ...{ method: 'DELETE', path: '/network', parameters: NAME },
      summary: 'Removes a network that no pod is on',
      answers: { 204: 'done', 404: UNKNOWN, 409: 'a pod is on it', 412: 'it is the default one' },
      handle: async ({ parameters }) => {
        await networks.remove(parameters.text('name'));
        return { kind: 'empty', status: 204 };
      },
    },
  ];
}
