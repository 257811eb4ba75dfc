import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { PortMapping } from '@hyperd/client';
import { eventually } from './support/daemon.ts';
import { askTcp, askUdp, hostAddress, netPod } from './support/net-tool.ts';
import { atStart, sharedClient, sharedDaemon } from './support/shared.ts';

/** First of a block of ports that the tests publish; below the ports that the kernel gives out. */
const BASE = 21_000;

const daemon = sharedDaemon();
const client = sharedClient(daemon);
atStart(async () => {
  const serve = ['serve', 'tcp:80', 'tcp:81', 'tcp:82', 'udp:80'];
  const portmappings = [
    { hostPort: `${BASE}`, containerPort: '80' },
    { hostPort: `${BASE}`, containerPort: '80', protocol: 'udp' },
    { hostPort: `${BASE + 1}-${BASE + 2}`, containerPort: '81-82' },
    { containerPort: '80', hostIP: '127.0.0.1' },
  ];
  await client.createPod(netPod('web', serve, { portmappings }));
  await client.startPod('web');
  await eventually('the pod serves', async () =>
    (await daemon.hyperctl(['logs', 'web'])).stdout.startsWith('ready'),
  );
});

const rule = (host: number | string, container: number | string, protocol = 'tcp'): PortMapping => ({
  ...{ hostPort: String(host), containerPort: String(container), protocol },
});
const idle = (id: string, portmappings: readonly PortMapping[]): object => ({
  ...{ id, portmappings, containers: [{ name: id, image: 'busybox', command: ['sleep', '1000'] }] },
});
const refused = (port: number): Promise<void> => assert.rejects(askTcp(port), { code: 'ECONNREFUSED' });

test('published tcp, udp and ranges of ports lead each to its port of the pod', async () => {
  assert.equal(await askTcp(BASE, 'hello'), 'tcp:80 hello');
  assert.equal(await askUdp(BASE, 'hello'), 'udp:80 hello');
  assert.equal(await askTcp(BASE + 1), 'tcp:81 ');
  assert.equal(await askTcp(BASE + 2), 'tcp:82 ');
});

test('what is sent through a published port comes back whole after the client has ended its side', async () => {
  const text = Buffer.alloc(3_000_000, 'some bytes to send');
  assert.equal((await askTcp(BASE, text)).length, 'tcp:80 '.length + text.length);
});

test('packets between machine and host are larger than those of Ethernet', async () => {
  const received = async (): Promise<number[]> => {
    const { stdout } = await daemon.hyperctl(['exec', 'web', 'cat', '/proc/net/dev']);
    return (/eth0: *(\d+) +(\d+)/.exec(stdout) ?? []).slice(1).map(Number);
  };
  const [bytesBefore = 0, packetsBefore = 0] = await received();
  await askTcp(BASE, Buffer.alloc(1_000_000));
  const [bytes = 0, packets = 0] = await received();
  const mean = (bytes - bytesBefore) / (packets - packetsBefore);
  assert.ok(mean > 3000, `${mean} bytes of ${bytes - bytesBefore} each`);
});

test('a host port that is left open is chosen, and told by info and list', async () => {
  const chosen = (await client.portMappings('web')).find(({ hostIP }) => hostIP !== undefined);
  assert.equal(await askTcp(Number(chosen?.hostPort)), 'tcp:80 ');
  assert.deepEqual((await client.podInfo('web')).spec.portMappings, await client.portMappings('web'));
});

test('ports are published on the address that is asked for, else on all', {
  skip: !hostAddress(),
}, async () => {
  const chosen = (await client.portMappings('web')).find(({ hostIP }) => hostIP !== undefined);
  assert.equal(await askTcp(BASE, '', hostAddress()), 'tcp:80 ');
  await assert.rejects(askTcp(Number(chosen?.hostPort), '', hostAddress()), { code: 'ECONNREFUSED' });
});

test('ports are added and deleted while the pod runs, by protocol and container port', async () => {
  const before_ = await client.portMappings('web');
  const ports = (...args: string[]) => daemon.hyperctl(['ports', ...args, 'web']);
  assert.equal((await ports('add', '-p', `${BASE + 10}:81`, '-p', `${BASE + 11}:80`)).code, 0);
  assert.equal(await askTcp(BASE + 10), 'tcp:81 ');
  const { stdout } = await ports('ls');
  assert.match(
    stdout,
    new RegExp(`^Protocol +Host Ports +Container Ports\ntcp +${BASE + 10} +81\ntcp +${BASE + 11} +80\n`),
  );
  assert.equal((await ports('delete', '-p', '1:81', '-p', 'udp:1:99')).code, 0);
  await refused(BASE + 10);
  assert.equal(await askTcp(BASE + 11), 'tcp:80 ');
  assert.equal(await askTcp(BASE + 1), 'tcp:81 ', 'it is part of a range, which is another rule');
  await client.deletePortMappings('web', [rule(1, 80)]);
  await refused(BASE + 11);
  await refused(BASE);
  assert.equal(await askUdp(BASE, 'x'), 'udp:80 x');
  await client.addPortMappings(
    'web',
    before_.filter(({ containerPort, protocol }) => containerPort === '80' && protocol === 'tcp'),
  );
  assert.equal(await askTcp(BASE), 'tcp:80 ');
});

test('a port that another pod has is refused before the pod is created, naming that pod', async () => {
  const created = await daemon.hyperctl([
    'run',
    '-d',
    '--name',
    'late',
    '-p',
    `${BASE}:1`,
    'busybox',
    'true',
  ]);
  assert.match(
    created.stderr,
    new RegExp(`publish tcp port ${BASE} of the host for pod "late": pod "web" has it`),
  );
  assert.doesNotMatch((await daemon.hyperctl(['list'])).stdout, /late/);
  await assert.rejects(
    client.createPod(idle('late', [rule(`${BASE + 20}-${BASE + 22}`, '1-3'), rule(BASE + 21, 9)])),
    {
      status: 500,
      message: `publish tcp port ${BASE + 21} of the host for pod "late": the pod maps it already`,
    },
  );
});

test('a port that a process of the host has is refused, naming it, and takes the whole range back', async () => {
  await using server = createServer().listen(BASE + 32, '127.0.0.1');
  await once(server, 'listening');
  const add = client.addPortMappings('web', [rule(`${BASE + 30}-${BASE + 34}`, '80-84')]);
  await assert.rejects(add, {
    status: 409,
    message: new RegExp(
      `^publish tcp port ${BASE + 32} of the host: process ${process.pid} \\("\\S+"\\) has it$`,
    ),
  });
  await refused(BASE + 30);
  await client.createPod(idle('other', [rule(BASE + 30, 1)]));
  await client.removePod('other');
});

function put(path: string, body: string): ReturnType<typeof send> {
  return send('PUT', path, body);
}

function send(
  method: string,
  path: string,
  body = '',
): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === '' ? {} : { 'content-type': 'application/json' };
    const call = request({ socketPath: daemon.socket, method, path, headers }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode, text: body.trim() }), reject);
    });
    call.on('error', reject).end(body);
  });
}

test('the routes answer with the statuses of the original', async () => {
  const status = async (answer: Promise<unknown>): Promise<unknown> =>
    answer.then(
      () => 204,
      (error: { status: number; message: string }) => [error.status, error.message],
    );
  assert.deepEqual(await status(client.portMappings('none')), [404, 'Pod none not found']);
  assert.deepEqual(await status(client.addPortMappings('none', [])), [404, 'Pod none not found']);
  const badActions = await put('/pod/web/portmappings/change', '[]');
  assert.deepEqual(badActions, { status: 400, text: 'Only add or delete operation are permitted' });
  for (const body of ['[{', '{}', '[{"containerPort": 80}]', '[{"containerPort": "0", "hostPort": "1"}]'])
    assert.equal((await put('/v0.8.1/pod/web/portmappings/add', body)).status, 400, body);
  assert.deepEqual(await put('/pod/web/portmappings/delete', '[]'), { status: 204, text: '' });
  await client.createPod(idle('asleep', []));
  const [stopped] = (await status(client.addPortMappings('asleep', [rule(BASE + 40, 1)]))) as [number];
  assert.equal(stopped, 500);
  assert.deepEqual(await client.portMappings('asleep'), []);
  assert.equal(await status(client.deletePortMappings('asleep', [rule(1, 1)])), 204);
  await client.removePod('asleep');
});

test('kill -9 of the daemon leaves ports published; the next one knows them, and finishes a change that was cut off', async () => {
  const mappings = await client.portMappings('web');
  await daemon.kill();
  assert.equal(await askTcp(BASE, 'x'), 'tcp:80 x');
  // As if it had died having recorded a port and the removal of another one, with neither done.
  const half = [rule(BASE + 50, 80), ...mappings.filter(({ containerPort }) => containerPort !== '81-82')];
  changeRecordedPorts(half);
  await daemon.restart();
  assert.deepEqual(await client.portMappings('web'), half);
  assert.equal(await askTcp(BASE, 'x'), 'tcp:80 x');
  assert.equal(await askTcp(BASE + 50, 'x'), 'tcp:80 x');
  await refused(BASE + 1);
  await assert.rejects(client.createPod(idle('late', [rule(BASE, 1)])), /pod "web" has it/);
  await client.deletePortMappings('web', [rule(1, 80)]);
  await refused(BASE + 50);
  await client.addPortMappings('web', [rule(BASE, 80), rule(`${BASE + 1}-${BASE + 2}`, '81-82')]);
});

function changeRecordedPorts(portMappings: readonly PortMapping[]): void {
  const db = new DatabaseSync(join(daemon.root, 'state.db'));
  try {
    const row = db.prepare("SELECT spec FROM pods WHERE id = 'web'").get() as { spec: string };
    const mappings = portMappings.map((mapping) => ({ hostIP: '', ...mapping }));
    const spec = JSON.stringify({ ...JSON.parse(row.spec), portMappings: mappings });
    db.prepare("UPDATE pods SET spec = ? WHERE id = 'web'").run(spec);
  } finally {
    db.close();
  }
}

test('a stopped pod lets go of its ports, gets them back with its start, and says who has them by then', async () => {
  await client.stopPod('web');
  await refused(BASE);
  {
    await using server = createServer().listen(BASE, '127.0.0.1');
    await once(server, 'listening');
    await assert.rejects(client.startPod('web'), { message: /process \d+ .* has it/ });
  }
  const [starting, adding] = [client.startPod('web'), client.addPortMappings('web', [rule(BASE + 60, 81)])];
  await Promise.all([starting, adding]);
  await eventually('it serves again', async () => (await askTcp(BASE).catch(() => '')) === 'tcp:80 ');
  assert.equal(await askTcp(BASE + 60), 'tcp:81 ');
  const stopping = client.stopPod('web');
  await assert.rejects(client.addPortMappings('web', [rule(BASE + 61, 81)]), { status: 500 });
  await stopping;
  await client.startPod('web');
  assert.equal((await client.portMappings('web')).length, 4);
});

test('a thousand ports that come and go leave what was there before', async () => {
  const before_ = await client.portMappings('web');
  for (let round = 0; round < 10; round++) {
    const requests = Array.from({ length: 10 }, (_, at) =>
      Array.from({ length: 5 }, (_, index) => rule(BASE + 100 + at * 5 + index, 100 + at * 5 + index)),
    );
    await Promise.all(requests.map((ports) => client.addPortMappings('web', ports)));
    await Promise.all(requests.map((ports) => client.deletePortMappings('web', ports)));
  }
  assert.deepEqual(await client.portMappings('web'), before_);
  await refused(BASE + 100);
  assert.equal(await askTcp(BASE), 'tcp:80 ');
});

test("a container's ports become the pod's; one whose port is taken is not made", async () => {
  const container = (name: string, hostPort: number): object => ({
    ...{ name, image: 'busybox', command: ['true'], ports: [{ hostPort, containerPort: 82 }] },
  });
  await client.createContainer('web', container('more', BASE + 80));
  assert.equal(await askTcp(BASE + 80), 'tcp:82 ');
  await assert.rejects(client.createContainer('web', container('none', BASE)), /maps it already/);
  assert.doesNotMatch((await daemon.hyperctl(['list', 'container'])).stdout, / none /);
});

test('a machine that outlives its pod forwards nothing any more', async () => {
  await client.createPod(idle('guest', [rule(BASE + 90, 1)]));
  await client.startPod('guest');
  const [vm] = (await client.machines({ pod: 'guest' })).map(({ id }) => id);
  await send('POST', '/v0.5.0/pod/stop?podId=guest&stopVM=no');
  assert.deepEqual(await client.machines({ machine: vm ?? '' }), [{ id: vm, pod: '', status: 'idle' }]);
  await refused(BASE + 90);
  await send('DELETE', `/vm?vm=${vm}`);
  await client.removePod('guest');
});

test('a removed pod leaves its ports to others', async () => {
  await client.createPod(idle('short', [rule(BASE + 70, 1)]));
  await client.startPod('short');
  await client.removePod('short');
  await client.createPod(idle('next', [rule(BASE + 70, 1)]));
  await client.startPod('next');
  await client.removePod('next');
});
