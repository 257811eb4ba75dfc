import { Type } from 'typebox';
import { json, type Route } from '../call.ts';
import { ofSchema } from '../describe.ts';
import { openApiDocument } from '../openapi.ts';
import type { RouteContext } from './context.ts';

/** The route that serves the description of all routes, itself among them. */
export function documentRoute(
  { about }: RouteContext,
  groups: () => Readonly<Record<string, readonly Route[]>>,
): Route {
  let document: object | undefined;
  return {
    ...{ method: 'GET', path: '/openapi.json', parameters: {} },
    summary: 'Describes these routes as an OpenAPI 3.1 document',
    answers: { 200: ofSchema(Type.Object({}), 'the document') },
    handle: () => {
      document ??= openApiDocument(groups(), about.version);
      return json(200, document);
    },
  };
}
