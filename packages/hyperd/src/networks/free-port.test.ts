import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { chooseFreePort, requireFree } from './free-port.ts';
import { parseSocketLine } from './port-holder.ts';

test('requireFree() names the process that listens on a port, on one address or on all', async () => {
  for (const address of ['127.0.0.1', '0.0.0.0', '::']) {
    await using server = createServer().listen(0, address);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await assert.rejects(
      requireFree([{ protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: port }]),
      (error: Error) =>
        isHyperError(error, 'conflict') && error.message.includes(`: process ${process.pid} ("`),
    );
    await requireFree([{ protocol: 'udp', hostAddress: '127.0.0.1', hostPort: port }]);
  }
});

test('requireFree() names the process that has a udp port', async () => {
  await using socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await assert.rejects(
    requireFree([{ protocol: 'udp', hostAddress: '0.0.0.0', hostPort: port }]),
    new RegExp(`publish udp port ${port} of the host: process ${process.pid} `),
  );
});

test('requireFree() says that the host has no such address', async () => {
  await assert.rejects(
    requireFree([{ protocol: 'tcp', hostAddress: '203.0.113.7', hostPort: 8080 }]),
    (error: Error) => isHyperError(error, 'invalid-argument') && /no such address/.test(error.message),
  );
});

test('chooseFreePort() gives a port that can be had', async () => {
  for (const protocol of ['tcp', 'udp'] as const) {
    const hostPort = await chooseFreePort(protocol, '127.0.0.1');
    assert.ok(hostPort > 1024 && hostPort < 65_536);
    await requireFree([{ protocol, hostAddress: '127.0.0.1', hostPort }]);
  }
});

test('parseSocketLine() reads what /proc/net has, and takes no other line for one', () => {
  const line =
    '   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31337 1 000 100';
  assert.deepEqual(parseSocketLine(line), { address: '0100007F', port: 8080, state: '0A', inode: '31337' });
  for (const other of ['', '  sl  local_address rem_address   st tx_queue', '0: x:y z 0A'])
    assert.equal(parseSocketLine(other), undefined);
});
