import { Type } from 'typebox';
import { HyperError } from '../../errors.ts';
import { PortMappingSchema, parsePortMappings, parsePortSelectors } from '../../pods/spec/index.ts';
import { json, type Route } from '../call.ts';
import { needed, ofSchema } from '../describe.ts';
import { portMappingShape } from '../shapes/port-mapping.ts';
import { PortMappings } from '../shapes/schemas.ts';
import type { RouteContext } from './context.ts';

const UNKNOWN = 'unknown pod';

/** Published ports of pods. */
export function portRoutes({ pods }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/pod/{id}/portmappings' },
      summary: 'Lists the published ports of a pod',
      parameters: { id: needed('id of the pod') },
      answers: { 200: ofSchema(PortMappings, '`portMappings`'), 404: UNKNOWN },
      handle: ({ parameters }) =>
        json(200, { portMappings: pods.portMappings(parameters.text('id')).map(portMappingShape) }),
    },
    {
      ...{ method: 'PUT', path: '/pod/{id}/portmappings/{action}' },
      ...{ body: 'json-of-any-type', bodySchema: Type.Array(PortMappingSchema) },
      statuses: { 'invalid-spec': 400, precondition: 500 },
      summary:
        'Publishes the ports of a JSON array of mappings while the pod runs, all or none; or takes those of the same protocol and container port back',
      parameters: { id: needed('id of the pod'), action: needed('`add` or `delete`') },
      answers: {
        204: 'done',
        400: 'another action, or no mappings',
        404: UNKNOWN,
        409: 'a port is taken',
        500: 'the pod does not run',
      },
      handle: async ({ parameters, json: body }) => {
        const [pod, action] = [parameters.text('id'), parameters.text('action')];
        pods.portMappings(pod); // an unknown pod is what is told first
        if (action === 'add') await pods.addPortMappings(pod, parsePortMappings(body));
        else if (action === 'delete') await pods.deletePortMappings(pod, parsePortSelectors(body));
        else throw new HyperError('invalid-argument', 'Only add or delete operation are permitted');
        return { kind: 'empty', status: 204 };
      },
    },
  ];
}
