import assert from 'node:assert/strict';
import { test } from 'node:test';
import { etcFiles } from './etc-files.ts';
import { parsePodSpec } from './spec/index.ts';
import type { ContainerSpec } from './spec/pod-spec.ts';

const host = {
  ...{ search: ['host.example'], options: ['ndots:3'] },
  ...{ address: '10.0.2.15', nameServer: '10.0.2.3', knowsPods: false },
};

function contents(pod: object, container: object = {}): Record<string, string> {
  const spec = parsePodSpec({ id: 'web', ...pod, containers: [{ image: 'i', ...container }] });
  const files = etcFiles(spec, spec.containers[0] as ContainerSpec, host);
  return Object.fromEntries(files.map(({ path, content }) => [path, Buffer.from(content).toString()]));
}

for (const [what, pod, text] of [
  ['the host is asked', {}, 'nameserver 10.0.2.3\nsearch host.example\noptions ndots:3\n'],
  ['servers are named', { dns: ['9.9.9.9', '::1'] }, 'nameserver 9.9.9.9\nnameserver ::1\n'],
  [
    'search list and options are given',
    { dnsSearch: ['a.example', 'b.example'], dnsOptions: ['timeout:1'] },
    'nameserver 10.0.2.3\nsearch a.example b.example\noptions timeout:1\n',
  ],
] as const) {
  test(`resolv.conf where ${what}`, () => assert.equal(contents(pod)['/etc/resolv.conf'], text));
}

test('hosts and hostname have the name of the pod', () => {
  const files = contents({ hostname: 'db.example' });
  assert.equal(files['/etc/hostname'], 'db.example\n');
  const lines = files['/etc/hosts']?.trim().split('\n') ?? [];
  assert.deepEqual([lines[0], lines.at(-1)], ['127.0.0.1\tlocalhost', '10.0.2.15\tdb.example']);
});

test('a file or volume at the place of one of them is left alone', () => {
  const files = [
    { path: '/etc/', filename: 'hosts' },
    { path: 'etc//resolv.conf', filename: 'x' },
  ];
  const pod = { files: [{ name: 'hosts' }, { name: 'x' }], volumes: [{ name: 'v' }] };
  const paths = Object.keys(contents(pod, { files, volumes: [{ path: '/etc/hostname/', volume: 'v' }] }));
  assert.deepEqual(paths, []);
});
