import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePermission } from '../config/access-rules.ts';
import { HyperError, isHyperError } from '../errors.ts';
import type { PodService } from '../pods/pod-service.ts';
import { Access } from './access.ts';
import type { Route } from './call.ts';
import { parametersOf } from './describe.ts';
import { containerView, podView } from './fake-services.ts';
import { Parameters } from './parameters.ts';
import { SCOPES } from './pod-scope.ts';
import type { RouteContext } from './routes/context.ts';
import { allRoutes } from './routes/index.ts';

const routes = Object.values(allRoutes({} as RouteContext)).flat();
const pods = {
  pod(id: string) {
    if (!['ci-1', 'theirs'].includes(id)) throw new HyperError('not-found', `no pod ${id}`);
    return { ...podView, id };
  },
  container(name: string) {
    const podId = name.split('/')[0];
    return { ...containerView, podId };
  },
} as unknown as PodService;
const access = new Access(new Map([['ci', parsePermission('pods ci-*', 'test')]]), pods);
const ci = { kind: 'certificate', name: 'ci' } as const;

function route(method: string, path: string): Route {
  const found = routes.find((candidate) => candidate.method === method && candidate.path === path);
  assert.ok(found, `${method} ${path}`);
  return found;
}

function isAllowed(method: string, path: string, query: string, json?: unknown): boolean {
  try {
    access.check(ci, route(method, path), { parameters: new Parameters(query), json });
    return true;
  } catch (error) {
    assert.ok(isHyperError(error, 'forbidden'), String(error));
    return false;
  }
}

test('every scope is that of a route, and names parameters that the route describes', () => {
  for (const [path, scope] of Object.entries(SCOPES)) {
    const found = routes.filter((candidate) => candidate.path === path);
    assert.ok(found.length > 0, path);
    if (typeof scope === 'string') continue;
    const described = found.flatMap((candidate) => {
      const inPath = [...candidate.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      return [...inPath, ...parametersOf(candidate.parameters).flatMap(({ names }) => names)];
    });
    const named = [...(scope.pods ?? []), ...(scope.containers ?? [])];
    for (const name of named.filter((name) => !['podId', 'podName'].includes(name)))
      assert.ok(described.includes(name), `${path}: ${name}`);
    assert.ok(
      named.some((name) => described.includes(name)),
      path,
    );
  }
});

test('a client with pods of its own may use no route that is not told to be about pods', () => {
  for (const { method, path } of routes)
    if (SCOPES[path] === undefined)
      assert.equal(isAllowed(method, path, 'podId=ci-1&container=ci-1/a'), false, path);
});

for (const [method, path, query, allowed] of [
  ['GET', '/pod/info', 'podName=ci-1', true],
  ['GET', '/pod/info', 'podName=theirs', false],
  ['GET', '/pod/info', 'podName=ci-1&podId=theirs', false],
  ['GET', '/pod/info', 'podName=no-such', false],
  ['GET', '/pod/info', '', false],
  ['POST', '/pod/start', 'podId=ci-1', true],
  ['POST', '/pod/start', 'podId=ci-1&vmId=vm-other', false],
  ['POST', '/pod/kill', 'podName=ci-1&container=theirs/a', false],
  ['POST', '/exec/create', 'container=ci-1/a', true],
  ['POST', '/exec/create', 'container=theirs/a', false],
  ['POST', '/attach', 'container=ci-1/a&type=pod&value=theirs', false],
  ['GET', '/list', 'item=pod', false],
  ['GET', '/list', 'item=pod&pod=ci-1', true],
  ['GET', '/info', '', true],
  ['GET', '/events', '', false],
  ['POST', '/image/create', 'imageName=busybox', false],
] as const) {
  test(`${method} ${path}?${query} is ${allowed ? 'allowed' : 'refused'}`, () => {
    assert.equal(isAllowed(method, path, query), allowed);
  });
}

const container = { image: 'busybox' };
for (const [what, spec, allowed] of [
  ['an id that matches', { id: 'ci-2', containers: [container] }, true],
  ['another id', { id: 'x', containers: [container] }, false],
  ['no id', { containers: [container] }, false],
  ['a directory of the host', { id: 'ci-2', volumes: [{ name: 'v', source: '/etc', format: 'vfs' }] }, false],
  [
    'a disk image of the host',
    { id: 'ci-2', volumes: [{ name: 'v', source: '/d.img', format: 'raw' }] },
    false,
  ],
  ['an empty volume', { id: 'ci-2', volumes: [{ name: 'v' }] }, true],
  ["another's named volume", { id: 'ci-2', volumes: [{ name: 'v', source: 'x', format: 'volume' }] }, false],
  [
    'a named volume that matches',
    { id: 'ci-2', volumes: [{ name: 'v', source: 'ci-v', format: 'volume' }] },
    true,
  ],
  ['a file of the host', { id: 'ci-2', files: [{ name: 'f', uri: 'file:///etc/shadow' }] }, false],
  ['a file with content', { id: 'ci-2', files: [{ name: 'f', content: 'x', encoding: 'raw' }] }, true],
  ["another's network", { id: 'ci-2', network: 'x' }, false],
  ['a bridge of the host', { id: 'ci-2', interfaces: [{ bridge: 'br0', ip: '10.0.0.2/24' }] }, false],
] as const) {
  test(`a pod with ${what} is ${allowed ? 'allowed' : 'refused'}`, () => {
    assert.equal(isAllowed('POST', '/pod/create', '', spec), allowed);
  });
}

test('a specification in a parameter does not pass the check', () => {
  assert.equal(isAllowed('POST', '/pod/create', 'podArgs={}', { id: 'ci-2' }), false);
});

test('rules: what is no permission is refused, and a certificate without a rule has none', () => {
  for (const bad of ['', 'write', 'read all', 'pods', 'pods a/b'])
    assert.throws(() => parsePermission(bad, 'f:1: x'), /f:1: x is ".*"; want all, read, none, or pods/);
  const ping = { parameters: new Parameters(''), json: undefined };
  const other = { kind: 'certificate', name: 'other' } as const;
  assert.throws(() => access.check(other, route('GET', '/_ping'), ping), /has no permission/);
  const star = new Access(new Map([['*', parsePermission('read', 't')]]), pods);
  star.check(other, route('GET', '/_ping'), ping);
  assert.throws(() => star.check(other, route('POST', '/pod/create'), ping), /may read only/);
  // A certificate cannot take the name of a listener's rule.
  const named = new Access(new Map([['unix:///x', parsePermission('all', 't')]]), pods);
  assert.throws(() => named.check({ kind: 'certificate', name: 'unix:///x' }, route('GET', '/_ping'), ping));
});
