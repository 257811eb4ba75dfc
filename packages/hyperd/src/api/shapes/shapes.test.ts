import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../../errors.ts';
import type { ImageSummary } from '../../images/image-service.ts';
import type { ContainerState, PodState } from '../../pods/lifecycle.ts';
import { containerView, podView } from '../fake-services.ts';
import { containerInfo } from './container-info.ts';
import { imageStrings, removalShape } from './images.ts';
import { listData, machineStrings } from './list.ts';
import { podInfo } from './pod-info.ts';

const startedAt = Date.UTC(2026, 0, 2, 3, 4, 5);
const finishedAt = startedAt + 1000;
const exited = (exitCode: number, changes: object = {}): ContainerState => ({
  ...{ phase: 'exited', startedAt, finishedAt, exitCode, signal: 0, message: undefined },
  ...changes,
});

test('ContainerInfo has the name with a slash, the environment in pairs, and no empty fields', () => {
  assert.deepEqual(containerInfo(containerView()), {
    container: {
      name: '/web',
      containerID: 'c'.repeat(64),
      image: 'busybox',
      imageID: `sha256:${'1'.repeat(64)}`,
      commands: ['/bin/sh'],
      args: ['-c', 'true'],
      workingDir: '/',
      labels: {},
      env: [{ env: 'A', value: 'b=c' }],
    },
    createdAt: 1767323040,
    podID: 'web',
    status: {
      name: 'web',
      containerID: 'c'.repeat(64),
      phase: 'running',
      waiting: {},
      running: { startedAt: '2026-01-02T03:04:05.000Z' },
      terminated: {},
    },
  });
});

const times = { startedAt: '2026-01-02T03:04:05.000Z', finishedAt: '2026-01-02T03:04:06.000Z' };
const states: readonly (readonly [string, ContainerState, object])[] = [
  [
    'pending',
    { phase: 'pending' },
    { phase: 'pending', waiting: { reason: 'Pending' }, running: {}, terminated: {} },
  ],
  [
    'exited with 0',
    exited(0),
    { phase: 'succeeded', waiting: {}, running: {}, terminated: { reason: 'Succeeded', ...times } },
  ],
  [
    'exited with 3',
    exited(3),
    { phase: 'failed', waiting: {}, running: {}, terminated: { exitCode: 3, reason: 'Failed', ...times } },
  ],
  [
    'never started',
    exited(127, { startedAt: undefined, message: 'not found' }),
    {
      phase: 'failed',
      waiting: {},
      running: {},
      terminated: { exitCode: 127, reason: 'Failed', message: 'not found', finishedAt: times.finishedAt },
    },
  ],
];
for (const [what, state, expected] of states) {
  test(`the status of a container that is ${what}`, () => {
    const { status } = containerInfo(containerView({ state })) as { status: object };
    assert.deepEqual(status, { name: 'web', containerID: 'c'.repeat(64), ...expected });
  });
}

const ended = (outcome: 'succeeded' | 'failed'): PodState => ({
  ...{ phase: 'ended', outcome, startedAt, finishedAt, message: undefined },
});
const podStates: readonly (readonly [PodState, phase: string, status: string])[] = [
  [{ phase: 'pending' }, 'Pending', 'pending'],
  [{ phase: 'starting' }, 'Pending', 'pending'],
  [{ phase: 'running', startedAt }, 'Running', 'running'],
  [{ phase: 'paused', startedAt }, 'Paused', 'paused'],
  [{ phase: 'stopping', startedAt }, 'Running', 'stopping'],
  [ended('succeeded'), 'Succeeded', 'succeeded'],
  [ended('failed'), 'Failed', 'failed'],
];
for (const [state, phase, status] of podStates) {
  test(`a pod whose state is ${JSON.stringify(state)} is ${phase} in its info, ${status} in the list`, () => {
    const view = podView({ state });
    assert.equal((podInfo(view) as { status: { phase: string } }).status.phase, phase);
    const { podData } = listData({ item: 'pod', pod: '', machine: '' }, [view], []);
    assert.deepEqual(podData, [`web:web:vm-abcdefghij:${status}`]);
  });
}

test('PodInfo holds specification and status', () => {
  const info = podInfo(podView()) as { spec: object; status: { containerStatus: object[] } };
  assert.equal(info.status.containerStatus.length, 1);
  assert.deepEqual(
    { ...info, spec: { ...info.spec, containers: 0 }, status: { ...info.status, containerStatus: 0 } },
    {
      podID: 'web',
      podName: 'web',
      kind: 'Pod',
      apiVersion: '1.17',
      vm: 'vm-abcdefghij',
      createdAt: 1767323040,
      spec: { containers: 0, labels: { a: '1' }, vcpu: 1, memory: 128 },
      status: { phase: 'Running', podIP: ['10.0.2.15/24'], startTime: times.startedAt, containerStatus: 0 },
    },
  );
});

test('lists are filtered by pod and machine', () => {
  const other = podView({ id: 'db' as never, machineId: undefined, containers: [] });
  const pods = [podView(), other];
  const machines = [
    { id: 'vm-abcdefghij', owner: 'web' },
    { id: 'vm-idle', owner: undefined },
  ] as never;
  const list = (item: string, pod = '', machine = ''): unknown =>
    Object.values(listData({ item, pod, machine }, pods, machines))[0];
  assert.deepEqual(list('pod'), ['web:web:vm-abcdefghij:running', 'db:db::running']);
  assert.deepEqual(list('pod', 'db'), ['db:db::running']);
  assert.deepEqual(list('pod', 'nope'), []);
  assert.deepEqual(list('container', '', 'vm-abcdefghij'), [`${'c'.repeat(64)}:web:web:running`]);
  assert.deepEqual(list('vm'), ['vm-abcdefghij:web:associated', 'vm-idle::idle']);
  assert.deepEqual(list('vm', 'web'), ['vm-abcdefghij:web:associated']);
  assert.throws(
    () => list('image'),
    (error: Error) =>
      isHyperError(error, 'invalid-argument') && error.message === 'Can not support image list!',
  );
});

test("a paused pod's machine is listed as paused", () => {
  const pod = podView({ state: { phase: 'paused', startedAt } });
  const machines = [{ id: 'vm-abcdefghij', owner: 'web' }] as never;
  assert.deepEqual(machineStrings(machines, [pod]), ['vm-abcdefghij:web:paused']);
});

const image = (digit: string, tags: string[], digests: string[] = []): ImageSummary => ({
  ...{ id: `sha256:${digit.repeat(64)}` as never, tags, digests },
  ...{ createdAt: new Date(Number(digit) * 1000), sizeBytes: 42, labels: {} },
});
const images = [
  image('1', ['busybox:latest', 'localhost:5000/team/busybox:1.36']),
  image('2', [], ['debian@sha256:abc']),
  image('3', []),
];

test('images are one string a tag, newest first, dangling ones with <none>', () => {
  assert.deepEqual(imageStrings(images), [
    `<none>:<none>:${'3'.repeat(64)}:3:42`,
    `debian:<none>:${'2'.repeat(64)}:2:42`,
    `busybox:latest:${'1'.repeat(64)}:1:42`,
    `localhost:5000/team/busybox:1.36:${'1'.repeat(64)}:1:42`,
  ]);
  assert.deepEqual(imageStrings([]), []);
});

test('a removal has the spelling of the original', () => {
  assert.deepEqual(removalShape([{ untagged: 'a:b' }, { deleted: 'sha256:1' as never }]), [
    { untaged: 'a:b' },
    { deleted: 'sha256:1' },
  ]);
});
