import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isHyperError } from '../errors.ts';
import { canonical, familiar, parseReference, withDefaultTag } from './reference.ts';

const HEX = 'a'.repeat(64);

for (const [text, whole, short] of [
  ['busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36', 'busybox:1.36'],
  ['docker.io/busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
  ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest', 'busybox:latest'],
  ['user/app', 'docker.io/user/app:latest', 'user/app:latest'],
  ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
  ['localhost:5000/a/b/c:v1', 'localhost:5000/a/b/c:v1', 'localhost:5000/a/b/c:v1'],
  ['[::1]:5000/app', '[::1]:5000/app:latest', '[::1]:5000/app:latest'],
  [
    'registry.example.com/a__b/c-d.e',
    'registry.example.com/a__b/c-d.e:latest',
    'registry.example.com/a__b/c-d.e:latest',
  ],
  [`app@sha256:${HEX}`, `docker.io/library/app@sha256:${HEX}`, `app@sha256:${HEX}`],
  [`app:v1@sha256:${HEX}`, `docker.io/library/app:v1@sha256:${HEX}`, `app:v1@sha256:${HEX}`],
] as const) {
  test(`"${text.slice(0, 40)}" is ${whole.slice(0, 60)}`, () => {
    const reference = withDefaultTag(parseReference(text));
    assert.equal(canonical(reference), whole);
    assert.equal(familiar(reference), short);
  });
}

for (const text of [
  ...[
    '',
    'Upper',
    'a//b',
    '/a',
    'a/',
    'a:',
    ':tag',
    'a b',
    'a@sha256:short',
    'a@b@c',
    '-a',
    'a_',
    'a..b',
    'a:-t',
  ],
  ...[
    `a:${'t'.repeat(129)}`,
    'x'.repeat(256),
    '../../etc/passwd',
    'a/../b',
    'host:port/a',
    'a\n',
    'host_x.y/a:t',
  ],
]) {
  test(`"${text.slice(0, 30).replace('\n', '\\n')}" is refused`, () => {
    assert.throws(
      () => parseReference(text),
      (error) => isHyperError(error, 'invalid-argument'),
    );
  });
}

test('what is accepted is the same when read again in either form, and never slow', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ab1.:/@-_'), maxLength: 80 }), (text) => {
      let reference: ReturnType<typeof parseReference>;
      try {
        reference = parseReference(text);
      } catch (error) {
        assert.ok(isHyperError(error, 'invalid-argument'));
        return;
      }
      assert.deepEqual(parseReference(canonical(reference)), reference);
      assert.deepEqual(parseReference(familiar(reference)), reference);
    }),
    { numRuns: 2000 },
  );
});
