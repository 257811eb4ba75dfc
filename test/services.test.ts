import assert from 'node:assert/strict';
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { after, test } from 'node:test';
import { ApiError } from '@hyperd/client';
import { hostAddress, netPod } from './support/net-tool.ts';
import { atStart, sharedClient, sharedDaemon } from './support/shared.ts';

const HOST = hostAddress() as string;
/** Names of the back ends, each with its port. */
const ports: Record<string, number> = {};
const servers: (Server | Datagrams)[] = [];

const daemon = sharedDaemon();
const client = sharedClient(daemon);
atStart(async () => {
  assert.ok(HOST, 'the host needs an address besides loopback');
  for (const name of ['a', 'b', 'c']) {
    const tcp = createServer((socket) => socket.on('error', () => undefined).end(`from-${name}\n`));
    await once(tcp.listen(0, HOST), 'listening');
    const { port } = tcp.address() as { port: number };
    ports[name] = port;
    const udp = createSocket('udp4');
    udp.on('message', (_message, { port: to, address }) => udp.send(`from-${name}`, to, address));
    udp.bind(port, HOST);
    servers.push(tcp, udp);
  }
  await client.createPod(netPod('web', ['serve', 'tcp:1'], { services: [service('10.96.0.1', 'a', 'b')] }));
  await client.startPod('web');
});
after(() => {
  for (const server of servers) server.close();
});

const service = (serviceIP: string, ...names: string[]) => ({
  ...{ serviceIP, servicePort: 80, protocol: 'tcp' },
  hosts: names.map((name) => ({ hostIP: HOST, hostPort: ports[name] as number })),
});

/** Who answers at the address, asked several times in a row: sorted, each once. */
async function answerers(address: string): Promise<string> {
  const script = `for i in 1 2 3 4; do nc -w 5 ${address} 80 </dev/null || break; done`;
  const { stdout } = await daemon.hyperctl(['exec', 'web', 'sh', '-c', script]);
  return [...new Set(stdout.match(/from-\w/g))].sort().join(' ');
}

test('connections to a service of the specification go to its back ends in turn', async () => {
  assert.equal(await answerers('10.96.0.1'), 'from-a from-b');
  assert.deepEqual(await client.services('web'), [service('10.96.0.1', 'a', 'b')]);
});

test('services are added, replaced and removed while the pod runs', async () => {
  await client.addServices('web', [service('10.96.0.2', 'c')]);
  assert.equal(await answerers('10.96.0.2'), 'from-c');
  await assert.rejects(
    client.addServices('web', [service('10.96.0.2', 'a')]),
    (error) => error instanceof ApiError && /10\.96\.0\.2:80\/tcp: the pod has it/.test(error.message),
  );
  await client.updateServices('web', [service('10.96.0.1', 'b', 'c')]);
  assert.equal(await answerers('10.96.0.1'), 'from-b from-c');
  await client.deleteServices('web', [service('10.96.0.1')]);
  assert.equal(
    (await daemon.hyperctl(['exec', 'web', 'grep', '-c', '0A6000', '/proc/net/ip_vs'])).stdout,
    '0\n',
  );
  assert.deepEqual(await client.services('web'), []);
});

test('hyperctl adds, lists and removes services, of udp as well', async () => {
  const hosts = `${HOST}:${ports.a},${HOST}:${ports.b}`;
  const added = await daemon.hyperctl(['service', 'add', 'web', `udp:10.96.0.3:80=${hosts}`]);
  assert.equal(added.code, 0, added.stderr);
  const { stdout } = await daemon.hyperctl(['service', 'ls', 'web']);
  assert.match(stdout, /^udp +10\.96\.0\.3:80 +\S+:\d+,\S+:\d+$/m);
  const ask = ['exec', 'web', '/net-tool', 'ask', '10.96.0.3', '80', 'hello'];
  const answers = [await daemon.hyperctl(ask), await daemon.hyperctl(ask)].map((answer) =>
    answer.stdout.trim(),
  );
  assert.deepEqual(answers.sort(), ['from-a', 'from-b']);
  assert.equal((await daemon.hyperctl(['service', 'rm', 'web', 'udp:10.96.0.3:80'])).code, 0);
  assert.deepEqual(await client.services('web'), []);
});

for (const [what, bad, text] of [
  ['no address', { serviceIP: 'nowhere' }, /services\[0\]" is "nowhere:80", want an IPv4 address/],
  ['no port', { servicePort: 0 }, /services\[0\]" is "10\.96\.0\.9:0"/],
  ['another protocol', { protocol: 'sctp' }, /protocol.*sctp/],
  [
    'a back end without a port',
    { hosts: [{ hostIP: '192.0.2.1', hostPort: 0 }] },
    /hosts\[0\]" is "192\.0\.2\.1:0"/,
  ],
  [
    'the pod itself as back end',
    { hosts: [{ hostIP: '127.0.0.1', hostPort: 1 }] },
    /hosts\[0\]" is the pod itself/,
  ],
] as const) {
  test(`a service with ${what} is refused, and nothing changes`, async () => {
    await assert.rejects(client.addServices('web', [{ ...service('10.96.0.9'), ...bad }]), (error) => {
      return error instanceof ApiError && text.test(error.message);
    });
    assert.deepEqual(await client.services('web'), []);
  });
}

test('services outlive the daemon, and stop and start of the pod', async () => {
  await client.updateServices('web', [service('10.96.0.5', 'a', 'c')]);
  await daemon.kill();
  await daemon.restart();
  assert.equal(await answerers('10.96.0.5'), 'from-a from-c');
  await client.stopPod('web');
  await client.startPod('web');
  assert.equal(await answerers('10.96.0.5'), 'from-a from-c');
});
