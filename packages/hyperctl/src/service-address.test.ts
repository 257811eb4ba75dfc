import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serviceAddress } from './service-address.ts';

for (const [text, expected] of [
  ['10.96.0.1:80', { protocol: 'tcp', serviceIP: '10.96.0.1', servicePort: 80, hosts: [] }],
  [
    'udp:10.96.0.1:53=10.0.0.1:53,10.0.0.2:5353',
    {
      ...{ protocol: 'udp', serviceIP: '10.96.0.1', servicePort: 53 },
      hosts: [
        { hostIP: '10.0.0.1', hostPort: 53 },
        { hostIP: '10.0.0.2', hostPort: 5353 },
      ],
    },
  ],
] as const) {
  test(`service "${text}" is read`, () => assert.deepEqual(serviceAddress(text), expected));
}

for (const text of ['', '10.96.0.1', '10.96.0.1:', ':80', '10.96.0.1:80=host', 'sctp:10.96.0.1:80']) {
  test(`service "${text}" is refused with what would be right`, () =>
    assert.throws(() => serviceAddress(text), /want \[tcp:\|udp:\]IP:PORT/));
}
