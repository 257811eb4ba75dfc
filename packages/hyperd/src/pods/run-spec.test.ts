import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import type { ImageRunConfig } from '../oci/image-config.ts';
import { signalNumber } from '../signals.ts';
import { runSpecOf } from './run-spec.ts';
import type { ContainerSpec } from './spec/pod-spec.ts';

const image: ImageRunConfig = {
  ...{ user: '', env: [], entrypoint: [], cmd: [], workingDir: '', volumes: [], exposedPorts: [] },
  ...{ labels: {}, stopSignal: '' },
};
const spec: ContainerSpec = {
  ...{ name: 'c', image: 'i', command: [], entrypoint: [], workdir: '', envs: [], tty: false, labels: {} },
  ...{ user: { name: '', group: '', additionalGroups: [] }, stopSignal: '', ulimits: [], readOnly: false },
  ...{ sysctl: {}, restartPolicy: 'never', volumes: [], files: [], portMappings: [] },
};

const commands: readonly (readonly [string, Partial<ImageRunConfig>, Partial<ContainerSpec>, string[]])[] = [
  ['command of the image', { cmd: ['sh'] }, {}, ['sh']],
  ['entrypoint without a command', { entrypoint: ['/e'] }, {}, ['/e']],
  ['entrypoint and command of the image', { entrypoint: ['/e'], cmd: ['a'] }, {}, ['/e', 'a']],
  [
    'a given command after the entrypoint',
    { entrypoint: ['/e'], cmd: ['a'] },
    { command: ['b'] },
    ['/e', 'b'],
  ],
  ["a given entrypoint drops the image's command", { cmd: ['a'] }, { entrypoint: ['/x'] }, ['/x']],
  ['both given', { entrypoint: ['/e'], cmd: ['a'] }, { entrypoint: ['/x'], command: ['y'] }, ['/x', 'y']],
];
for (const [name, config, container, args] of commands) {
  test(`runs ${name}`, () => {
    assert.deepEqual(runSpecOf({ ...spec, ...container }, { ...image, ...config }, 'h').args, args);
  });
}

test('refuses an image that names nothing to run', () => {
  assert.throws(
    () => runSpecOf(spec, image, 'h'),
    (error) => isHyperError(error, 'invalid-spec'),
  );
});

test('merges the environment by key, the specification last', () => {
  const run = runSpecOf(
    { ...spec, tty: true, envs: [{ env: 'A', value: 'mine=1' }] },
    { ...image, cmd: ['sh'], env: ['A=image', 'PATH=/x', 'broken'] },
    'h',
  );
  assert.deepEqual(run.env, ['PATH=/x', 'HOSTNAME=h', 'TERM=xterm', 'A=mine=1']);
});

test('a given user replaces the whole user of the image', () => {
  const user = { name: 'app', group: '', additionalGroups: ['audio'] };
  const run = runSpecOf({ ...spec, user }, { ...image, cmd: ['sh'], user: 'root:wheel' }, 'h');
  assert.equal(run.user, 'app');
  assert.deepEqual(run.additionalGroups, ['audio']);
});

for (const [text, number] of [
  ['TERM', 15],
  ['sigint', 2],
  ['9', 9],
  ['SIGRTMIN+3', 37],
] as const) {
  test(`signal ${text} is ${number}`, () => assert.equal(signalNumber(text), number));
}
for (const text of ['', 'SIGNOPE', '0', '65', '-1']) {
  test(`signal "${text}" is refused`, () => {
    assert.throws(
      () => signalNumber(text),
      (error) => isHyperError(error, 'invalid-argument'),
    );
  });
}
