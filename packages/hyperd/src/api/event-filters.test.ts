import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HyperEvent } from '../events/index.ts';
import { eventFilter } from './event-filters.ts';

function event(changes: Partial<HyperEvent>): HyperEvent {
  return { time: 0, timeNano: 0, type: 'pod', action: 'start', id: '', name: '', attributes: {}, ...changes };
}

const pod = event({ id: 'web', name: 'web', labels: { tier: 'front', a: '1' } });
const container = event({
  ...{ type: 'container', action: 'die', id: `abc${'0'.repeat(61)}`, name: 'nginx' },
  attributes: { pod: 'web', image: 'localhost:5000/nginx:1.27' },
});
const image = event({
  type: 'image',
  action: 'pull',
  id: `sha256:beef${'0'.repeat(60)}`,
  name: 'busybox:latest',
});
const machine = event({ type: 'machine', id: 'vm-a', attributes: { pod: 'web' } });
const all = { pod, container, image, machine };

for (const [filters, expected] of [
  ['', ['pod', 'container', 'image', 'machine']],
  ['{}', ['pod', 'container', 'image', 'machine']],
  ['null', ['pod', 'container', 'image', 'machine']],
  ['{"type":["pod","image"]}', ['pod', 'image']],
  ['{"type":{"pod":true}}', ['pod']],
  ['{"event":["die","pull"]}', ['container', 'image']],
  ['{"type":["pod"],"event":["die"]}', []],
  ['{"pod":["web"]}', ['pod', 'container', 'machine']],
  ['{"pod":["we"]}', []],
  ['{"container":["nginx"]}', ['container']],
  ['{"container":["abc"]}', ['container']],
  ['{"container":[""]}', []],
  ['{"image":["busybox"]}', ['image']],
  ['{"image":["busybox:latest"]}', ['image']],
  ['{"image":["beef00"]}', ['image']],
  ['{"image":["localhost:5000/nginx"]}', ['container']],
  ['{"image":["localhost"]}', []],
  ['{"label":["tier"]}', ['pod']],
  ['{"label":["tier=front","a=1"]}', ['pod']],
  ['{"label":["tier=front","a=2"]}', []],
  ['{"label":["constructor"]}', []],
] as const) {
  test(`filters ${filters} let through ${expected.join(', ') || 'nothing'}`, () => {
    const passes = eventFilter(filters);
    assert.deepEqual(
      Object.entries(all)
        .filter(([, happened]) => passes(happened))
        .map(([name]) => name),
      expected,
    );
  });
}

for (const filters of ['{', '"pod"', '[]', '{"pods":["web"]}', '1']) {
  test(`filters ${filters} are refused`, () => {
    assert.throws(() => eventFilter(filters), { code: 'invalid-argument', message: /type, event, pod/ });
  });
}
