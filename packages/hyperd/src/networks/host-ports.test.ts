import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { HostPorts } from './host-ports.ts';
import type { HostPort } from './port-forward.ts';

const tcp = (hostPort: number, hostAddress = '0.0.0.0'): HostPort => ({
  ...{ protocol: 'tcp', hostAddress, hostPort },
});
const udp = (hostPort: number): HostPort => ({ ...tcp(hostPort), protocol: 'udp' });

const conflict = (message: RegExp) => (error: Error) =>
  isHyperError(error, 'conflict') && message.test(error.message);

for (const [what, taken, wanted, message] of [
  ['the same port', [tcp(80)], [tcp(80)], /^publish tcp port 80 of the host for pod "b": pod "a" has it$/],
  ['one within a range', [tcp(81), tcp(82)], [tcp(80), tcp(81)], /tcp port 81 .* pod "a" has it/],
  [
    'one address of a port on all',
    [tcp(80)],
    [tcp(80, '10.0.0.1')],
    /tcp port 80 of 10\.0\.0\.1 of the host/,
  ],
  ['a port on all of which one address is taken', [tcp(80, '10.0.0.1')], [tcp(80)], /pod "a" has it/],
] as const) {
  test(`claim() refuses ${what}, and keeps nothing of the others`, () => {
    const ports = new HostPorts('0.0.0.0');
    ports.claim('a', taken);
    assert.throws(() => ports.claim('b', wanted), conflict(message));
    for (const port of wanted) assert.notEqual(ports.holderOf(port), 'b');
  });
}

test('claim() tells tcp from udp, and one address from another', () => {
  const ports = new HostPorts('0.0.0.0');
  ports.claim('a', [tcp(80, '10.0.0.1'), udp(80)]);
  ports.claim('b', [tcp(80, '10.0.0.2')]);
  assert.deepEqual([ports.holderOf(udp(80)), ports.holderOf(tcp(80, '10.0.0.2'))], ['a', 'b']);
});

test('claim() says when a pod maps one port twice', () => {
  const ports = new HostPorts('0.0.0.0');
  assert.throws(() => ports.claim('a', [tcp(80), tcp(80)]), conflict(/pod "a": the pod maps it already/));
});

test("release() gives up the pod's own claims only", () => {
  const ports = new HostPorts('0.0.0.0');
  ports.claim('a', [tcp(80, '10.0.0.1')]);
  ports.claim('b', [tcp(80, '10.0.0.2'), tcp(81)]);
  ports.release('b', [tcp(80, '10.0.0.1'), tcp(80, '10.0.0.2'), tcp(9)]);
  assert.deepEqual(
    [tcp(80), tcp(80, '10.0.0.2'), tcp(81)].map((port) => ports.holderOf(port)),
    ['a', undefined, 'b'],
  );
});
