import { HyperError } from '../../errors.ts';
import { readJson } from '../../pods/spec/index.ts';
import { env, json, type Route } from '../call.ts';
import { needed, ofSchema } from '../describe.ts';
import { networkShape } from '../shapes/network.ts';
import { NetworkInfo, NetworkList, NetworkName, NetworkRequest } from '../shapes/network-schemas.ts';
import type { RouteContext } from './context.ts';

const NAME = { name: needed('name of the network') };
const PLACE = { ...NAME, podId: needed('id of the pod') };
const UNKNOWN = 'unknown network';

/** Bridged networks; the original has none of these. */
export function networkRoutes({ networks, pods }: RouteContext): Route[] {
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
      ...{ method: 'POST', path: '/network/connect' },
      summary: 'Puts a pod on one more network, while it runs or for its next start',
      parameters: { ...PLACE, ip: 'address on the network; one that is free where it is left out' },
      answers: {
        204: 'done',
        400: 'no address of the network',
        404: 'unknown network or pod',
        409: 'the pod is on it, or another has the address',
        412: 'the pod is paused, or in the user-mode network',
      },
      handle: async ({ parameters }) => {
        const network = networks.network(parameters.text('name')).name;
        const request = { network, address: parameters.text('ip'), mac: '', mtu: 0 };
        await pods.connectNetwork(parameters.text('podId'), request);
        return { kind: 'empty', status: 204 };
      },
    },
    {
      ...{ method: 'POST', path: '/network/disconnect' },
      summary: 'Takes a pod off a network that it was connected to',
      parameters: PLACE,
      answers: {
        204: 'done',
        404: 'unknown pod, or it is not on the network',
        412: 'the pod was created on that network, or is paused',
      },
      handle: async ({ parameters }) => {
        await pods.disconnectNetwork(parameters.text('podId'), parameters.text('name'));
        return { kind: 'empty', status: 204 };
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
