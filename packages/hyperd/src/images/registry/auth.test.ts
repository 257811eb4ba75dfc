import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../../errors.ts';
import { basicHeader, parseChallenge } from './auth.ts';

for (const [header, expected] of [
  ['Basic realm="x"', { scheme: 'basic' }],
  [
    'Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"',
    {
      scheme: 'bearer',
      realm: 'https://auth.example/token',
      service: 'reg',
      scope: 'repository:a/b:pull,push',
    },
  ],
  ['bearer REALM=http://x/y , service=z', { scheme: 'bearer', realm: 'http://x/y', service: 'z', scope: '' }],
] as const) {
  test(`the challenge ${header.slice(0, 30)} is read`, () =>
    assert.deepEqual(parseChallenge(header), expected));
}

for (const header of ['', 'Negotiate abc', 'Bearer service="x"']) {
  test(`the challenge "${header}" is refused`, () => {
    assert.throws(
      () => parseChallenge(header),
      (error) => isHyperError(error, 'unavailable'),
    );
  });
}

test('a user name without a password is sent, no user name is not', () => {
  assert.equal(
    basicHeader({ username: 'u', password: 'p:q' }),
    `Basic ${Buffer.from('u:p:q').toString('base64')}`,
  );
  assert.equal(basicHeader({ username: 'u' }), `Basic ${Buffer.from('u:').toString('base64')}`);
  assert.equal(basicHeader({ password: 'p' }), undefined);
});
