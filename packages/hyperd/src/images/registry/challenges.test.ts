import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chooseChallenge, mergeScopes, parseChallenges } from './challenges.ts';
import { Failure } from './failure.ts';

const read = (header: string | string[]) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

for (const [name, header, expected] of [
  ['Basic', 'Basic realm="x"', [['basic', { realm: 'x' }]]],
  [
    'Bearer with commas in quotes',
    'Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"',
    [['bearer', { realm: 'https://auth.example/token', service: 'reg', scope: 'repository:a/b:pull,push' }]],
  ],
  [
    'case, spaces and plain values',
    'bearer REALM = http://x/y , service=z',
    [['bearer', { realm: 'http://x/y', service: 'z' }]],
  ],
  ['escapes', String.raw`Basic realm="a \"b\", c\\"`, [['basic', { realm: String.raw`a "b", c\ `.trim() }]]],
  [
    'several in one header',
    'Negotiate, Basic realm="a, b", charset=utf-8, Bearer realm="http://t",service=s',
    [
      ['negotiate', {}],
      ['basic', { realm: 'a, b', charset: 'utf-8' }],
      ['bearer', { realm: 'http://t', service: 's' }],
    ],
  ],
  [
    'one with a token in place of parameters',
    'NTLM dGVzdA==, Basic realm=x',
    [
      ['ntlm', {}],
      ['basic', { realm: 'x' }],
    ],
  ],
  [
    'several headers',
    ['Negotiate', 'Bearer realm=r'],
    [
      ['negotiate', {}],
      ['bearer', { realm: 'r' }],
    ],
  ],
  ['nothing', '', []],
  [
    'a quote that is not closed',
    'Bearer realm="x',
    [
      ['bearer', {}],
      ['realm', {}],
    ],
  ],
] as const) {
  test(`parseChallenges() reads ${name}`, () => assert.deepEqual(read(header as string), expected));
}

const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,12}$/);
test('parseChallenges() reads back whatever values are quoted', () => {
  const challenge = fc.tuple(
    token,
    fc.dictionary(
      token.map((name) => name.toLowerCase()),
      fc.string({ unit: 'binary-ascii' }),
      { minKeys: 1, maxKeys: 4 },
    ),
  );
  fc.assert(
    fc.property(fc.array(challenge, { maxLength: 4 }), (challenges) => {
      const header = challenges
        .map(([scheme, parameters]) => {
          const quoted = Object.entries(parameters).map(
            ([name, value]) => `${name}="${value.replace(/["\\]/g, '\\$&')}"`,
          );
          return `${scheme} ${quoted.join(', ')}`;
        })
        .join(', ');
      assert.deepEqual(
        read(header),
        challenges.map(([scheme, parameters]) => [scheme.toLowerCase(), { ...parameters }]),
      );
    }),
  );
});

test('parseChallenges() ends for any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('"', '\\', ',', '=', ' ', 'a', 'Bearer ', 'é') }), (text) =>
      Array.isArray(parseChallenges(text)),
    ),
  );
  assert.ok(parseChallenges('a="'.repeat(100_000)).length > 0);
});

test('chooseChallenge() takes Bearer before Basic', () => {
  const chosen = chooseChallenge(
    parseChallenges('Basic realm=x, Bearer realm="https://t/x",scope="a:b:c d:e:f"'),
  );
  assert.deepEqual(chosen, { realm: new URL('https://t/x'), service: '', scopes: ['a:b:c', 'd:e:f'] });
});

for (const header of [
  '',
  'Negotiate abc',
  'Bearer service="x"',
  'Bearer realm="file:///etc/passwd"',
  'Bearer realm="/token"',
])
  test(`chooseChallenge() refuses "${header}"`, () => {
    assert.throws(
      () => chooseChallenge(parseChallenges(header)),
      (error) => error instanceof Failure && error.code === 'unavailable',
    );
  });

test('mergeScopes() joins the actions of one resource, in one order', () => {
  assert.deepEqual(
    mergeScopes(['repository:b:push,pull'], ['repository:a:pull', 'repository:b:pull', 'aws']),
    ['aws', 'repository:a:pull', 'repository:b:pull,push'],
  );
});
