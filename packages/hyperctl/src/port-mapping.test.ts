import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOptions } from './options.ts';
import { podFromFile } from './pod-file.ts';
import { POD_OPTIONS, podOf, withPublished } from './pod-options.ts';
import { isPortMapping, portMapping } from './port-mapping.ts';
import { UsageError } from './usage-error.ts';

for (const [text, mapping] of [
  ['8080:80', { hostPort: '8080', containerPort: '80', protocol: 'tcp' }],
  ['udp:53:5353', { hostPort: '53', containerPort: '5353', protocol: 'udp' }],
  ['53:53/udp', { hostPort: '53', containerPort: '53', protocol: 'udp' }],
  ['8000-8010:80-90', { hostPort: '8000-8010', containerPort: '80-90', protocol: 'tcp' }],
  [':80', { hostPort: '', containerPort: '80', protocol: 'tcp' }],
  ['127.0.0.1:8080:80', { hostPort: '8080', containerPort: '80', protocol: 'tcp', hostIP: '127.0.0.1' }],
  ['udp:127.0.0.1::80', { hostPort: '', containerPort: '80', protocol: 'udp', hostIP: '127.0.0.1' }],
] as const) {
  test(`port mapping ${text}`, () => assert.deepEqual(portMapping(text), mapping));
}

for (const text of [
  '80',
  '',
  ':',
  'sctp:1:1',
  '1:2:3',
  'a:b',
  '80:',
  'tcp:1:1/udp',
  '8080:80 ',
  'pod.json',
  './1:2',
]) {
  test(`"${text}" is no port mapping`, () => {
    assert.throws(() => portMapping(text), UsageError);
    assert.equal(isPortMapping(text), false);
  });
}

test('a port mapping behind -p is published, and does not stand for a pod file', async () => {
  const { options } = parseOptions(['-p', '8080:80', '--publish', '1:2'], POD_OPTIONS, {
    stopAtOperand: true,
  });
  assert.equal((await podFromFile(options, [], process.stdin)).pod, undefined);
  assert.deepEqual(
    podOf(options, 'i', []).portmappings?.map(({ containerPort }) => containerPort),
    ['2', '80'],
  );
});

test("published ports come before a pod file's own, however that spells the key", () => {
  const { options } = parseOptions(['-p', '8080:80'], POD_OPTIONS, { stopAtOperand: true });
  const published = { hostPort: '8080', containerPort: '80', protocol: 'tcp' };
  assert.deepEqual(withPublished({ id: 'a' }, options), { id: 'a', portmappings: [published] });
  assert.deepEqual(withPublished({ PortMappings: [1] }, options), { PortMappings: [published, 1] });
});
