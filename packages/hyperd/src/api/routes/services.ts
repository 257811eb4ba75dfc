import { Type } from 'typebox';
import type { ServiceChange } from '../../pods/balancing.ts';
import type { PodService } from '../../pods/pod-service.ts';
import { parseServices, ServicesSchema } from '../../pods/spec/index.ts';
import { isBelow } from '../api-version.ts';
import { json, type PlainRoute, type Route } from '../call.ts';
import { jsonText, needed, ofSchema } from '../describe.ts';
import { parseJson } from '../request-body.ts';
import { omitEmpty } from '../shapes/omit-empty.ts';
import { ServiceResult } from '../shapes/schemas.ts';
import type { RouteContext } from './context.ts';

const POD = { podId: 'id of the pod' };

/** Addresses in a pod that are balanced over others. */
export function serviceRoutes({ pods }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/service/list', parameters: POD },
      summary: 'Lists the services of a pod',
      answers: {
        200: ofSchema(Type.Union([ServicesSchema, Type.Null()]), 'list; `null` for none (201 below 0.6)'),
        404: 'unknown pod',
      },
      handle: ({ parameters, version }) => {
        const services = pods.services(parameters.text('podId')).map(({ hosts, ...service }) => ({
          ...service,
          ...omitEmpty({ hosts }),
        }));
        return json(isBelow(version, [0, 6]) ? 201 : 200, services.length > 0 ? services : null);
      },
    },
    { ...change(pods, 'add', 'Adds services to a pod'), method: 'POST', path: '/service/add' },
    { ...change(pods, 'update', 'Replaces the services of a pod'), method: 'POST', path: '/service/update' },
    { ...change(pods, 'delete', 'Removes services of a pod'), method: 'DELETE', path: '/service' },
  ];
}

function change(pods: PodService, kind: ServiceChange, summary: string): Omit<PlainRoute, 'method' | 'path'> {
  return {
    summary,
    parameters: { ...POD, services: needed(jsonText('a JSON array of services', ServicesSchema)) },
    answers: {
      200: ofSchema(ServiceResult, '`["Result=success"]` (below 0.6 `{"Result":"success"}`)'),
      404: 'unknown pod',
      409: 'a service to add is there',
      500: 'no service',
    },
    handle: async ({ parameters, version }) => {
      const services = parseServices(parseJson(parameters.text('services'), 'services'));
      await pods.changeServices(parameters.text('podId'), kind, services);
      return json(200, isBelow(version, [0, 6]) ? { Result: 'success' } : ['Result=success']);
    },
  };
}
