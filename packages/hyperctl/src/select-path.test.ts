import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePath, selectPath } from './select-path.ts';
import { UsageError } from './usage-error.ts';

const value = {
  podID: 'web',
  spec: { containers: [{ name: '/a' }, { name: '/b', tty: true }], labels: { 'x.y': '1' } },
  nothing: null,
};

for (const [path, expected] of [
  ['.podID', 'web'],
  ['podID', 'web'],
  ['{{.podID}}', 'web'],
  ['{{ .PodId }}', 'web'],
  ['.spec.containers[1].name', '/b'],
  ['.spec.containers[1].tty', 'true'],
  ['.spec.labels["x.y"]', '1'],
  ['.spec.labels', '{"x.y":"1"}'],
  ['.nothing', 'null'],
  ['.', JSON.stringify(value)],
] as const) {
  test(`${path} selects ${expected}`, () => assert.equal(selectPath(value, parsePath(path)), expected));
}

for (const [path, message] of [
  ['.spec.nonesuch', /select ".spec.nonesuch": there is no such member; there are containers, labels/],
  ['.spec.containers[2]', /is a list of 2/],
  ['.podID.x', /is "web"/],
  ['.constructor', /no such member/],
] as const) {
  test(`${path} is refused with what there is`, () => {
    assert.throws(() => selectPath(value, parsePath(path)), message);
  });
}

for (const path of ['.a..b', '.a[x]', '{{json .}}', '.a[', 'a b', '.a["x]']) {
  test(`the path ${path} is not understood`, () => assert.throws(() => parsePath(path), UsageError));
}
