import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HierarchySources, hierarchiesOf } from './cgroup-hierarchies.ts';

const mount = (root: string, point: string, type: string, options: string): string =>
  `31 25 0:27 ${root} ${point} rw,relatime shared:9 - ${type} ${type} ${options}`;

const CASES: readonly [string, Omit<HierarchySources, 'unifiedControllers'>, string, object[]][] = [
  [
    'version 2 alone has all of them in one place',
    {
      mountInfo: mount('/', '/sys/fs/cgroup', 'cgroup2', 'rw'),
      membership: '0::/system.slice/hyperd.service\n',
    },
    'cpuset cpu io memory hugetlb pids\n',
    [
      {
        ...{ version: 2, controllers: ['memory', 'pids', 'cpu'], mount: '/sys/fs/cgroup' },
        own: '/system.slice/hyperd.service',
      },
    ],
  ],
  [
    'version 1 has each where it is mounted, also two in one',
    {
      mountInfo: [
        mount('/', '/cg/unified', 'cgroup2', 'rw'),
        mount('/', '/cg/cpu,cpuacct', 'cgroup', 'rw,cpu,cpuacct'),
        mount('/', '/cg/memory', 'cgroup', 'rw,memory'),
        mount('/', '/cg/systemd', 'cgroup', 'rw,name=systemd'),
      ].join('\n'),
      membership: '9:name=systemd:/s\n4:memory:/a/b\n2:cpu,cpuacct:/\n0::/u\n',
    },
    'hugetlb\n',
    [
      { version: 1, controllers: ['cpu'], mount: '/cg/cpu,cpuacct', own: '' },
      { version: 1, controllers: ['memory'], mount: '/cg/memory', own: '/a/b' },
    ],
  ],
  [
    'a container that sees its own part of the tree finds itself at its root',
    {
      mountInfo: mount('/docker/1', '/sys/fs/cgroup/pids', 'cgroup', 'ro,pids'),
      membership: '8:pids:/docker/1\n',
    },
    '',
    [{ version: 1, controllers: ['pids'], mount: '/sys/fs/cgroup/pids', own: '' }],
  ],
  [
    'a process outside of what it sees is taken to be at the root',
    { mountInfo: mount('/', '/my\\040groups', 'cgroup', 'rw,pids'), membership: '8:pids:/../elsewhere\n' },
    '',
    [{ version: 1, controllers: ['pids'], mount: '/my groups', own: '' }],
  ],
  ['a host without any has none', { mountInfo: '25 1 8:1 / / rw - ext4 /dev/a rw', membership: '' }, '', []],
];

for (const [what, sources, unified, expected] of CASES)
  test(what, () => {
    assert.deepEqual(hierarchiesOf({ ...sources, unifiedControllers: () => unified }), expected);
  });
