import { HyperError } from '../../errors.ts';
import { parsePortMappings, parsePortSelectors } from '../../pods/spec/index.ts';
import { json, type Route } from '../call.ts';
import { portMappingShape } from '../shapes/port-mapping.ts';
import type { RouteContext } from './context.ts';

/** Published ports of pods. */
export function portRoutes({ pods }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/pod/{id}/portmappings', answers: '200 `portMappings`' },
      summary: 'Lists the published ports of a pod',
      parameters: { id: 'id of the pod' },
      handle: ({ parameters }) =>
        json(200, { portMappings: pods.portMappings(parameters.required('id')).map(portMappingShape) }),
    },
    {
      ...{ method: 'PUT', path: '/pod/{id}/portmappings/{action}', body: 'json', answers: '204' },
      statuses: { 'invalid-spec': 400, precondition: 500 },
      summary:
        'Publishes the ports of a JSON array of mappings while the pod runs, all or none; or takes those of the same protocol and container port back',
      parameters: { id: 'id of the pod', action: '`add` or `delete`' },
      handle: async ({ parameters, json: body }) => {
        const [pod, action] = [parameters.required('id'), parameters.required('action')];
        pods.portMappings(pod); // an unknown pod is what is told first
        if (action === 'add') await pods.addPortMappings(pod, parsePortMappings(body));
        else if (action === 'delete') await pods.deletePortMappings(pod, parsePortSelectors(body));
        else throw new HyperError('invalid-argument', 'Only add or delete operation are permitted');
        return { kind: 'empty', status: 204 };
      },
    },
  ];
}
