import type { TSchema } from 'typebox';
import { ContainerSchema, PodSchema } from '../pods/spec/index.ts';
import type { Route, RouteDescription } from './call.ts';
import { answersOf, type Parameter, parametersOf, type StatusAnswer } from './describe.ts';
import * as imageSchemas from './shapes/image-schemas.ts';
import * as schemas from './shapes/schemas.ts';

/** Schemas with a name of their own; where one of these very objects stands in another schema, the document refers to it. */
const COMPONENTS: ReadonlyMap<TSchema, string> = new Map(
  Object.entries({ PodSpec: PodSchema, ContainerSpec: ContainerSchema, ...schemas, ...imageSchemas }).map(
    ([name, schema]) => [schema, name],
  ),
);

/** The OpenAPI 3.1 document of the routes, by the groups they are documented in. */
export function openApiDocument(
  groups: Readonly<Record<string, readonly Route[]>>,
  version: string,
): Readonly<Record<string, unknown>> {
  const paths: Record<string, object> = {};
  for (const [group, routes] of Object.entries(groups)) {
    for (const route of routes) {
      for (const path of [route.path, ...(route.aliases ?? [])]) {
        paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, path, group) };
      }
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'hyperd',
      version,
      description: 'Runs OCI images as pods in virtual machines. Keys of JSON in requests match in any case.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      { url: '/' },
      {
        url: '/v{release}',
        description: 'answers as that release of the original did, where releases differ',
        variables: { release: { default: '1.1.0' } },
      },
    ],
    tags: Object.keys(groups).map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries([...COMPONENTS].map(([schema, name]) => [name, members(schema)])),
    },
  };
}

function operation(route: Route, path: string, group: string): object {
  const { method, summary } = route;
  return {
    operationId: operationId(method, path),
    tags: [group],
    summary,
    ...(path === route.path ? {} : { deprecated: true }),
    parameters: parametersOf(route.parameters).flatMap((parameter) => parameterObjects(parameter, path)),
    ...requestBody(route),
    responses: {
      ...Object.fromEntries(answersOf(route.answers).map((answer) => [answer.status, response(answer)])),
      default: errorResponse(),
    },
  };
}

/** A further spelling of a parameter is a parameter that is deprecated. */
function parameterObjects(parameter: Parameter, path: string): object[] {
  return parameter.names.map((name, index) => {
    const inPath = path.includes(`{${name}}`);
    const isRequired = inPath || (parameter.required === true && parameter.names.length === 1);
    return {
      ...{ name, in: inPath ? 'path' : 'query', description: parameter.text },
      ...(isRequired ? { required: true } : {}),
      ...(index > 0 ? { deprecated: true } : {}),
      ...parameterSchema(parameter),
    };
  });
}

function parameterSchema({ type = 'text', schema, repeats }: Parameter): object {
  switch (type) {
    case 'json':
      return { content: jsonContent(schema) };
    case 'flag':
      return { schema: { type: 'boolean' } };
    case 'integer':
      return { schema: { type: 'integer' } };
    case 'text':
      return { schema: repeats ? { type: 'array', items: { type: 'string' } } : { type: 'string' } };
  }
}

function requestBody(route: Route): object {
  if (!('body' in route) || route.body === undefined) return {};
  const content =
    route.body === 'stream'
      ? { [route.bodyType ?? 'application/octet-stream']: streamedBody(route) }
      : jsonContent(route.bodySchema);
  return { requestBody: { content } };
}

function streamedBody({ bodySchema }: RouteDescription): object {
  return bodySchema ? { schema: reference(bodySchema) } : {};
}

function response({ text, status, schema, contentType }: StatusAnswer): object {
  if (status >= 400) return { ...errorResponse(), description: text };
  if (contentType !== undefined) {
    return { description: text, content: { [contentType]: schema ? { schema: reference(schema) } : {} } };
  }
  return { description: text, ...(schema ? { content: jsonContent(schema) } : {}) };
}

function errorResponse(): object {
  return {
    description: 'an error; as JSON for a client that accepts it',
    content: { 'text/plain': { schema: { type: 'string' } }, ...jsonContent(schemas.ErrorAnswer) },
  };
}

function jsonContent(schema: TSchema | undefined): object {
  return { 'application/json': schema ? { schema: reference(schema) } : {} };
}

/** The schema as plain JSON, with references to the components. */
function reference(schema: TSchema): unknown {
  const name = COMPONENTS.get(schema);
  return name === undefined ? members(schema) : { $ref: `#/components/schemas/${name}` };
}

function members(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((entry) => members(entry));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [
      key,
      typeof entry === 'object' && entry !== null ? reference(entry as TSchema) : entry,
    ]),
  );
}

function operationId(method: string, path: string): string {
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== '');
  return [method.toLowerCase(), ...words.map((word) => word.charAt(0).toUpperCase() + word.slice(1))].join(
    '',
  );
}
