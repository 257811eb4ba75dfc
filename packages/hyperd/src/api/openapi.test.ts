import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { send, startApi } from './fake-services.ts';
import { allRoutes } from './routes/index.ts';

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly operationId: string }>>>>;
}

const routes = Object.values(allRoutes({} as never)).flat();
const served = routes.flatMap(({ method, path, aliases = [] }) =>
  [path, ...aliases].map((url) => `${method} ${url}`),
);

async function document(): Promise<Document> {
  await using api = await startApi({});
  const { status, body } = await send(api, 'GET /v1.1.0/openapi.json');
  assert.equal(status, 200);
  return JSON.parse(body);
}

test('the document is valid OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(
    (await document()) as unknown as Record<string, unknown>,
  );
  assert.ok(valid, JSON.stringify(errors, undefined, 1));
});

test('the document has every route that is served, and no other', async () => {
  const described = Object.entries((await document()).paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(described.sort(), [...served].sort());
});

test('no two operations have one id', async () => {
  const ids = Object.values((await document()).paths).flatMap((operations) =>
    Object.values(operations).map(({ operationId }) => operationId),
  );
  assert.equal(new Set(ids).size, ids.length);
});

test('every route tells at least one success and what JSON it answers', () => {
  for (const { method, path, answers } of routes) {
    assert.ok(typeof answers === 'object', `${method} ${path} tells its answers by status`);
  }
});
