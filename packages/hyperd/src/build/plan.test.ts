import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { parseDockerfile } from './dockerfile/parse-dockerfile.ts';
import { planBuild } from './plan.ts';

const STAGES = [
  ...[
    'ARG TAG=1',
    'ARG BASE=img:$TAG',
    'FROM $BASE AS one',
    'FROM one AS two',
    'RUN x',
    'FROM scratch AS three',
  ],
  ...[
    'COPY --from=two /a /a',
    'COPY --from=other:img /b /b',
    'FROM img',
    'RUN --mount=type=bind,from=0,target=/x y',
  ],
].join('\n');

function plan(
  text: string,
  args: Record<string, string> = {},
  target?: string,
): ReturnType<typeof planBuild> {
  return planBuild(parseDockerfile(text), { args: new Map(Object.entries(args)), target });
}

test('only the stages that the target takes from are built', () => {
  assert.deepEqual(plan(STAGES).needed, [0, 3]);
  assert.deepEqual(plan(STAGES, {}, 'three').needed, [0, 1, 2]);
  assert.deepEqual(plan(STAGES, {}, '1').needed, [0, 1]);
});

test('bases are stages, nothing, or images, whose names arguments give', () => {
  const bases = plan(STAGES, { TAG: '2' }).stages.map(({ base }) => base);
  assert.deepEqual(bases, [
    { kind: 'image', reference: 'img:2', platform: undefined },
    { kind: 'stage', index: 0 },
    { kind: 'scratch' },
    { kind: 'image', reference: 'img', platform: undefined },
  ]);
});

test('every build has the platform arguments', () => {
  const { globals } = planBuild(parseDockerfile('FROM x AS s'), {
    args: new Map(),
    platform: 'linux/arm/v7',
  });
  const names = ['TARGETPLATFORM', 'TARGETARCH', 'TARGETVARIANT', 'TARGETSTAGE'];
  assert.deepEqual(
    names.map((name) => globals.get(name)),
    ['linux/arm/v7', 'arm', 'v7', 's'],
  );
});

const refused: readonly (readonly [string, string | undefined, RegExp])[] = [
  ['FROM x', 'y', /target stage "y" could not be found/],
  ['FROM x', '1', /target stage "1" could not be found/],
  ['FROM $NONE', undefined, /base name \(\$NONE\) should not be blank/],
  ['FROM x\nCOPY --from=0 a b', undefined, /line 2: invalid from flag value "0"/],
];
for (const [text, target, message] of refused)
  test(`refused with ${message}`, () =>
    assert.throws(
      () => plan(text, {}, target),
      (error) => isHyperError(error, 'invalid-argument') && message.test(error.message),
    ));
