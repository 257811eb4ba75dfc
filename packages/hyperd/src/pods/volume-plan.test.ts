import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import type { ContainerRecord } from './pod-records.ts';
import { parsePodSpec } from './spec/index.ts';
import { imageVolumesOf, namedVolumesOf, planMounts } from './volume-plan.ts';

function planned(volumes: object[], references: object[], imageVolumes: string[] = []) {
  const pod = parsePodSpec({ id: 'p', volumes, containers: [{ image: 'i', volumes: references }] });
  const container = {
    id: 'c1',
    spec: pod.containers[0],
    run: { volumes: imageVolumes },
  } as unknown as ContainerRecord;
  return { pod, container, mounts: planMounts(pod, container) };
}

test('volumes are mounted from the outside in, wherever they stand in the specification', () => {
  const { mounts } = planned(
    [{ name: 'v', source: '/s', format: 'vfs' }],
    [
      { path: '/a/b/c', volume: 'v' },
      { path: '//a/./b//', volume: 'v', readOnly: true },
      { path: '/a', volume: 'v' },
      { path: '/z', volume: 'v' },
    ],
    ['/a/b/', '/image', 'image/deep', '/proc/x', '/'],
  );
  assert.deepEqual(
    mounts.map(({ path, readOnly, volume }) => [path, readOnly, volume.kind]),
    [
      ['/a', false, 'host'],
      ['/image', false, 'empty'],
      ['/z', false, 'host'],
      ['/a/b', true, 'host'],
      ['/image/deep', false, 'empty'],
      ['/a/b/c', false, 'host'],
    ],
  );
});

test('a volume of the pod is one for all its containers; one of a container, and of its image, is its own', () => {
  const { mounts, container } = planned(
    [{ name: 'of the pod' }, { name: 't', format: 'tmpfs', option: { size: '2m', mode: '700' } }],
    [
      { path: '/pod', volume: 'of the pod' },
      { path: '/own', detail: { name: 'of the pod' } },
      { path: '/t', volume: 't' },
      { path: '/own-t', detail: { name: 't', format: 'tmpfs' } },
    ],
    ['/image'],
  );
  const at = (path: string) => mounts.find((mount) => mount.path === path)?.volume;
  const [pod, own, image] = [at('/pod'), at('/own'), at('/image')];
  assert.ok(pod?.kind === 'empty' && own?.kind === 'empty' && image?.kind === 'empty');
  assert.match(pod.directory, /^\.volumes\/[0-9a-f]{32}$/);
  assert.match(own.directory, /^c1\/volumes\/[0-9a-f]{32}$/);
  assert.match(image.directory, /^c1\/volumes\/[0-9a-f]{32}$/);
  assert.notEqual(own.directory, image.directory);
  const [shared, single] = [at('/t'), at('/own-t')];
  assert.ok(shared?.kind === 'tmpfs' && single?.kind === 'tmpfs');
  assert.deepEqual([shared.sizeBytes, shared.mode, shared.shared.length], [2 * 1024 ** 2, 0o700, 32]);
  assert.deepEqual([single.sizeBytes, single.mode, single.shared], [0, 0o1777, '']);
  assert.deepEqual(imageVolumesOf(container), ['/image']);
});

test('the named volumes of a pod are found in its list and in its containers', () => {
  const { pod, container } = planned(
    [{ name: 'x', source: 'store', format: 'volume' }, { name: 'unused', format: 'volume' }, { name: 'e' }],
    [{ path: '/a', detail: { name: 'y', source: 'other', format: 'volume' } }],
  );
  assert.deepEqual([...namedVolumesOf(pod, [container])].sort(), ['other', 'store', 'unused']);
});

for (const [why, volumes, references, message] of [
  [
    'two volumes at one path',
    [{ name: 'v' }],
    ['/a', '/a/'],
    /"containers\[0\]\.volumes\[1\]\.path".*another volume/,
  ],
  ['the root', [{ name: 'v' }], ['/x/..'], /the container's root/],
  ['a path of the kernel', [{ name: 'v' }], ['/sys/fs'], /the kernel's/],
  ['a relative path', [{ name: 'v' }], ['x'], /want an absolute path/],
  ['a path without end', [{ name: 'v' }], [`/${'x/'.repeat(3000)}`], /at most 4000 bytes/],
  ['a relative source', [{ name: 'v', source: 'x', format: 'vfs' }], [], /not an absolute path/],
  ['a source without format', [{ name: 'v', source: '/x' }], [], /without a format/],
  ['a bad name', [{ name: 'v', source: 'a/b', format: 'volume' }], [], /name volume "a\/b"/],
  ['a tmpfs with a source', [{ name: 'v', source: '/x', format: 'tmpfs' }], [], /has no source/],
  ['a size of nothing', [{ name: 'v', format: 'tmpfs', option: { size: '0' } }], [], /option\.size" is "0"/],
  [
    'a size of a directory',
    [{ name: 'v', source: '/x', format: 'vfs', option: { size: '1m' } }],
    [],
    /are for a tmpfs/,
  ],
  [
    'a file system that is no name',
    [{ name: 'v', source: '/x', format: 'raw', fstype: 'a b' }],
    [],
    /fstype/,
  ],
] as const) {
  test(`a specification is refused with ${why}`, () => {
    assert.throws(
      () =>
        planned(
          [...volumes],
          references.map((path) => ({ path, volume: 'v' })),
        ),
      (error) => isHyperError(error, 'invalid-spec') && message.test(error.message),
    );
  });
}
