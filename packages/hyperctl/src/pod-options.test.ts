import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { parseOptions } from './options.ts';
import { POD_OPTIONS, podOf } from './pod-options.ts';
import { UsageError } from './usage-error.ts';

const pod = (...args: string[]): ReturnType<typeof podOf> => {
  const { options, operands } = parseOptions(args, POD_OPTIONS, { stopAtOperand: true });
  const [image = '', ...command] = operands;
  return podOf(options, image, command);
};

test('podOf() has one container with the name of the pod', () => {
  const spec = pod('--name', 'web', 'busybox', 'sh', '-c', 'x');
  assert.equal(spec.id, 'web');
  assert.deepEqual(spec.containers, [
    {
      ...{ name: 'web', image: 'busybox', command: ['sh', '-c', 'x'], envs: [], tty: false },
      ...{ readOnly: false, volumes: [] },
    },
  ]);
});

for (const [image, pattern] of [
  ['nginx', /^nginx-\d{10}$/],
  ['busybox:latest', /^busybox-latest-\d{10}$/],
  ['localhost:5000/team/app:1.2', /^app-1\.2-\d{10}$/],
  [`app@sha256:${'a'.repeat(64)}`, /^app-\d{10}$/],
  ['_odd', /^pod-\d{10}$/],
] as const) {
  test(`podOf() names a pod of ${image} after it`, () => assert.match(String(pod(image).id), pattern));
}

test('podOf() carries every option', () => {
  const spec = pod(
    ...['--name', 'n1', '--hostname', 'h', '--cpu', '2', '--memory', '2g', '--restart', 'always', '-t'],
    ...['--label', 'a=b=c', '--log-driver', 'json-file', '--log-opt', 'max-size=1m', '-u', 'app:staff'],
    ...['--dns', '9.9.9.9', '--dns', '8.8.8.8', '--dns-search', 'example.org', '--dns-option', 'ndots:2'],
    ...['--workdir', '/w', '--entrypoint', '/e', '--read-only', '-e', 'A=1', '--publish', 'udp:53:5353', 'i'],
  );
  assert.deepEqual(spec, {
    ...{ id: 'n1', hostname: 'h', labels: { a: 'b=c' }, resource: { vcpu: 2, memory: 2048 } },
    ...{ restartPolicy: 'always', log: { type: 'json-file', config: { 'max-size': '1m' } } },
    ...{ dns: ['9.9.9.9', '8.8.8.8'], dnsSearch: ['example.org'], dnsOptions: ['ndots:2'] },
    containers: [
      {
        ...{
          name: 'n1',
          image: 'i',
          command: [],
          entrypoint: ['/e'],
          workdir: '/w',
          tty: true,
          readOnly: true,
        },
        ...{ envs: [{ env: 'A', value: '1' }], user: { name: 'app', group: 'staff' }, volumes: [] },
      },
    ],
    portmappings: [{ hostPort: '53', containerPort: '5353', protocol: 'udp' }],
  });
});

test('a variable without value is taken from here, and left out where there is none', () => {
  process.env.HYPERCTL_TEST_VARIABLE = 'here';
  const spec = pod('-e', 'HYPERCTL_TEST_VARIABLE', '-e', 'HYPERCTL_TEST_NONE', 'i');
  assert.deepEqual(spec.containers?.[0]?.envs, [{ env: 'HYPERCTL_TEST_VARIABLE', value: 'here' }]);
});

for (const [text, source, path, readOnly] of [
  ['/data', undefined, '/data', false],
  ['/srv:/data', '/srv', '/data', false],
  ['/srv:/data:ro', '/srv', '/data', true],
  ['/srv:/data:rw', '/srv', '/data', false],
  ['/data:ro', undefined, '/data', true],
  ['store:/data:ro', 'store', '/data', true],
  ['./here:/data', resolve('here'), '/data', false],
] as const) {
  test(`volume ${text}`, () => {
    const [volume] = pod('-v', text, 'i').containers?.[0]?.volumes ?? [];
    assert.match(volume?.volume ?? '', /^data\d{5}$/);
    assert.deepEqual([volume?.detail?.source, volume?.path, volume?.readOnly], [source, path, readOnly]);
    assert.equal(volume?.detail?.format, source && (source.includes('/') ? 'vfs' : 'volume'));
  });
}

for (const args of [
  ['--env', '=x'],
  ['--label', 'x'],
  ['--memory', 'much'],
  ['--memory', '0'],
  ['--cpu', '0'],
  ['--publish', '80'],
  ['-v', 'relative'],
  ['-v', ':/data'],
  ['-v', 'a:b:/c'],
]) {
  test(`podOf() refuses ${args.join(' ')}`, () => assert.throws(() => pod(...args, 'i'), UsageError));
}
