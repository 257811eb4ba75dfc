import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Client, createClient } from '@hyperd/client';
import { collect, eventually, startDaemon, type TestDaemon } from './support/daemon.ts';
import { netPod } from './support/net-tool.ts';
import { openNetns, type TestNetns } from './support/netns.ts';

const isRoot = process.getuid?.() === 0;
const GATEWAY = '192.168.123.1';
const APART = '10.77.0.0/24';
const PORT = 8080;
const WEB = { hostPort: `${PORT}`, containerPort: '80' };

let host: TestNetns;
let directory: string;
let daemon: TestDaemon;
let client: Client;
/** The host's, as the daemon has it. */
const resolvConf = (): string => join(directory, 'resolv.conf');

before(async () => {
  if (!isRoot) return;
  host = openNetns(['192.168.123.0/24', APART]);
  directory = mkdtempSync(join(tmpdir(), 'bridges-'));
  writeFileSync(resolvConf(), 'nameserver 127.0.0.53\n');
  const mount = `mount --bind ${resolvConf()} /etc/resolv.conf && exec "$@"`;
  const runner = [...host.runner, 'sh', '-ec', mount, 'sh']; // "ip netns" gives it mounts of its own
  daemon = await startDaemon({ runner, args: ['--bridge-ip', `${GATEWAY}/24`] });
  client = createClient(`unix://${daemon.socket}`);
  await client.createPod(netPod('web', ['serve', 'tcp:80'], { portmappings: [WEB], hostname: 'shop' }));
  await client.createPod(netPod('client', ['serve']));
  for (const pod of ['web', 'client']) await client.startPod(pod);
  await eventually('the pod serves', async () => (await exec('client', 'nc', 'web', '80')) === 'tcp:80');
});
after(async () => {
  client?.[Symbol.dispose]();
  await daemon?.[Symbol.asyncDispose]();
  host?.[Symbol.dispose]();
  if (directory) rmSync(directory, { recursive: true });
});

/** Only root can have bridges. */
function rootTest(name: string, run: () => Promise<void>): void {
  test(name, { skip: !isRoot && 'bridges need root' }, run);
}

const exec = async (pod: string, ...command: string[]): Promise<string> =>
  (await daemon.hyperctl(['exec', pod, ...command])).stdout.trim();
const addressOf = async (pod: string): Promise<string> =>
  ((await client.podInfo(pod)).status.podIP?.[0] ?? '').replace(/\/\d+$/, '');
/** What a port answers to a connection from the host, or from the world. */
const ask = (run: TestNetns['inside'], address: string, port = PORT): string =>
  run('sh', '-c', `echo hello | busybox nc -w 5 ${address} ${port}`).trim();
const ANSWER = 'tcp:80 hello';

rootTest('pods of a network find each other by name and address', async () => {
  const address = await addressOf('web');
  assert.match(address, /^192\.168\.123\.\d+$/);
  for (const name of [address, 'web', 'shop', 'WEB'])
    assert.equal(await exec('client', 'nc', name, '80'), 'tcp:80', name);
  assert.match(await exec('client', 'nslookup', address), /name = web/);
  assert.doesNotMatch(await exec('client', 'nslookup', '-type=aaaa', 'web'), /NXDOMAIN|Address:.*::/);
  assert.match(await exec('client', 'nslookup', 'nobody'), /NXDOMAIN/);
  assert.match(
    await exec('client', 'ip', 'link', 'show', 'eth0'),
    / mtu 1400 /,
    "as the host's way to the world has it",
  );
});

rootTest(
  "other names are asked of the host's name servers, as they are now, one after the other",
  async () => {
    const module = JSON.stringify(join(import.meta.dirname, 'support/dns-server.ts'));
    const serve = `const { serveDns } = await import(${module});
    await serveDns("${host.world}", { "www.example": "198.51.100.7" }); console.log("ready")`;
    const server = host.spawnOutside(process.execPath, '--input-type=module', '-e', serve);
    try {
      await once(server.stdout as NodeJS.ReadableStream, 'data');
      assert.doesNotMatch(
        await exec('client', 'nslookup', 'www.example'),
        /198\.51\.100\.7/,
        'there is none at 127.0.0.53',
      );
      writeFileSync(resolvConf(), `nameserver 127.0.0.53\nnameserver ${host.world}\n`);
      assert.match(await exec('client', 'nslookup', 'www.example'), /Address: 198\.51\.100\.7/);
      assert.match(await exec('client', 'nslookup', 'no.example'), /NXDOMAIN/);
    } finally {
      server.kill();
    }
  },
);

rootTest('a published port answers the world and the host itself, and no other port does', async () => {
  assert.equal(ask(host.outside, host.address), ANSWER);
  for (const own of [host.address, '127.0.0.1', GATEWAY]) assert.equal(ask(host.inside, own), ANSWER, own);
  assert.equal(ask(host.outside, await addressOf('web'), 80), '', 'what is not published');
});

rootTest('ports are published and taken back while the pod runs', async () => {
  const more = [{ hostPort: '8100-8199', containerPort: '80-179', hostIP: host.address }];
  await client.addPortMappings('web', more);
  assert.equal(ask(host.outside, host.address, 8100), ANSWER);
  assert.equal(ask(host.inside, '127.0.0.1', 8100), '', 'on another address');
  await client.deletePortMappings('web', more);
  assert.equal(ask(host.outside, host.address, 8100), '');
  assert.equal(ask(host.outside, host.address), ANSWER);
});

rootTest('pods reach the world, which sees the host', async () => {
  const serve = 'net.createServer((s) => s.end(s.remoteAddress)).listen(7000, () => console.log("ready"))';
  const server = host.spawnOutside(process.execPath, '-e', serve);
  try {
    await once(server.stdout as NodeJS.ReadableStream, 'data');
    assert.match(await exec('client', 'nc', host.world, '7000'), new RegExp(`${host.address}$`));
  } finally {
    server.kill();
  }
});

rootTest('pods of another network are out of reach, by name and by address', async () => {
  assert.equal((await daemon.hyperctl(['network', 'create', '--subnet', APART, 'apart'])).code, 0);
  await client.createPod(netPod('other', ['serve'], { network: 'apart' }));
  await client.startPod('other');
  assert.match(await addressOf('other'), /^10\.77\.0\./);
  assert.match(await exec('other', 'nslookup', 'web'), /NXDOMAIN/);
  assert.equal(await exec('other', 'timeout', '3', 'nc', await addressOf('web'), '80'), '');
  assert.equal(await exec('other', 'timeout', '9', 'nc', host.address, `${PORT}`), 'tcp:80', 'published');
  assert.match(
    (await daemon.hyperctl(['network', 'ls'])).stdout,
    /^apart +10\.77\.0\.0\/24 +10\.77\.0\.1 .* 1$/m,
  );
  assert.match((await daemon.hyperctl(['network', 'rm', 'apart'])).stderr, /pod "other" is on it/);
  await client.removePod('other');
  assert.equal((await daemon.hyperctl(['network', 'rm', 'apart'])).code, 0);
});

rootTest('a guest cannot send in the name of another', async () => {
  const listen = `const s = require("dgram").createSocket("udp4").bind(9000, () => console.log("ready"));
    s.once("message", (text) => { console.log(String(text)); s.close(); })`;
  const [program, ...args] = host.runner;
  const listener = spawn('timeout', ['60', program, ...args, process.execPath, '-e', listen]);
  const heard = collect(listener);
  await once(listener.stdout, 'data');
  const [own, foreign] = [await addressOf('client'), await addressOf('web')];
  for (const [from, text] of [
    [foreign, 'forged'],
    [own, 'genuine'],
  ] as const)
    assert.equal(
      (await daemon.hyperctl(['exec', 'client', '/net-tool', 'forge', from, GATEWAY, '9000', text])).code,
      0,
    );
  assert.equal((await heard).stdout, 'ready\ngenuine\n');
});

rootTest('a question to the name server that comes from port 0 harms nobody', async () => {
  const own = await addressOf('client');
  for (const question of ['too short', 'as long as the head of a question']) {
    const args = ['forge', `${own}:0`, GATEWAY, '53', question];
    assert.equal((await daemon.hyperctl(['exec', 'client', '/net-tool', ...args])).code, 0);
  }
  assert.match(await exec('client', 'nslookup', 'web', GATEWAY), new RegExp(await addressOf('web')));
});

rootTest('a guest that floods the network reaches the others with a small part of that', async () => {
  const COUNT = 20_000;
  const before_ = receivedByWeb();
  await exec('client', '/net-tool', 'flood', '192.168.123.255', `${COUNT}`);
  const received = receivedByWeb() - before_;
  assert.ok(received < COUNT / 4, `${received} of ${COUNT}`);
  assert.equal(ask(host.inside, '127.0.0.1'), ANSWER);
});

/** Packets that the host has sent to the pod that came first on a network. */
function receivedByWeb(): number {
  const tap = host.devices().find((name) => name.endsWith('t1')) ?? '';
  const [link] = JSON.parse(host.inside('ip', '-json', '-s', 'link', 'show', 'dev', tap)) as {
    stats64: { tx: { packets: number } };
  }[];
  return link?.stats64.tx.packets ?? 0;
}

rootTest('a connection goes on while the daemon is killed and started again', async () => {
  const [program, ...args] = host.runner;
  const connection = spawn(program, [...args, 'busybox', 'nc', '127.0.0.1', `${PORT}`]);
  let heard = '';
  connection.stdout.on('data', (chunk: Buffer) => {
    heard += chunk;
  });
  try {
    for (const round of ['before', 'meanwhile', 'after']) {
      if (round === 'meanwhile') await daemon.kill();
      if (round === 'after') await daemon.restart();
      connection.stdin.write(`${round}\n`);
      await eventually(`an answer ${round}`, () => heard.includes(round));
      assert.equal(ask(host.inside, '127.0.0.1'), ANSWER, round);
    }
  } finally {
    connection.kill();
  }
  assert.equal(await exec('client', 'nc', 'web', '80'), 'tcp:80');
});

rootTest('rules that somebody has taken away are there again with the next daemon', async () => {
  host.inside('nft', 'flush', 'ruleset');
  await daemon.kill();
  await daemon.restart();
  assert.match(host.inside('nft', 'list', 'ruleset'), /set sources \{[^}]*t1" \. [^}]*t2" \. /);
  assert.equal(ask(host.inside, '127.0.0.1'), ANSWER);
});

rootTest('a pod keeps its address when it is stopped and started', async () => {
  const address = await addressOf('web');
  await client.stopPod('web');
  assert.match(await exec('client', 'nslookup', 'web'), /NXDOMAIN/);
  await client.startPod('web');
  assert.equal(await addressOf('web'), address);
  await eventually('the pod serves', async () => (await exec('client', 'nc', 'web', '80')) === 'tcp:80');
});

rootTest('name, port and address go with a pod, and the next one gets another address', async () => {
  const address = await addressOf('web');
  await client.removePod('web');
  assert.match(await exec('client', 'nslookup', 'web'), /NXDOMAIN/);
  assert.equal(ask(host.inside, '127.0.0.1'), '');
  await client.createPod({ id: 'next' });
  const { pods } = await client.network('default');
  assert.deepEqual(pods.map(({ pod }) => pod).sort(), ['client', 'next']);
  assert.ok(pods.every((pod) => pod.address !== address));
});

for (const [what, args, message] of [
  ['a name that is taken', ['default'], /network "default": it exists already/],
  ['the name of the user-mode network', ['user'], /other than "user"/],
  [
    'addresses of another network',
    ['--subnet', '192.168.0.0/16', 'n'],
    /network "default" has 192\.168\.123\.0\/24/,
  ],
  [
    'addresses that the host has elsewhere',
    ['--subnet', '198.51.100.128/25', 'n'],
    /the host reaches .* through up0/,
  ],
  ['what is no subnet', ['--subnet', '10.0.0.0/31', 'n'], /of prefix length 8 to 30/],
  [
    'a gateway elsewhere',
    ['--subnet', '10.1.0.0/24', '--gateway', '10.2.0.1', 'n'],
    /want an address of a host in/,
  ],
  ['an MTU that cannot be', ['--mtu', '70000', 'n'], /mtu is 70000, want 576 to/],
] as const)
  rootTest(`a network with ${what} is refused, and none is made`, async () => {
    const { code, stderr } = await daemon.hyperctl(['network', 'create', ...args]);
    assert.match(stderr, message);
    assert.notEqual(code, 0);
    assert.deepEqual(
      (await client.networks()).map(({ name }) => name),
      ['default'],
    );
  });

for (const [what, spec, message] of [
  [
    'an address that is taken',
    { interfaces: [{ bridge: 'hyper0', ip: '192.168.123.1/24' }] },
    /the bridge has/,
  ],
  [
    'an address elsewhere',
    { interfaces: [{ ip: '10.0.0.5' }] },
    /no address of a host in 192\.168\.123\.0\/24/,
  ],
  ['a network that is not there', { network: 'nowhere' }, /there is no network "nowhere"/],
  ['an address of the user-mode network', { network: 'user', interfaces: [{ ip: '10.0.0.5' }] }, /user-mode/],
] as const)
  rootTest(`${what} is refused, and no pod is made`, async () => {
    await assert.rejects(client.createPod({ id: 'refused', ...spec }), { message });
    assert.doesNotMatch((await daemon.hyperctl(['list'])).stdout, /refused/);
    assert.equal((await client.network('default')).pods.length, 2);
  });

rootTest('nothing is left of pods that are gone, and nothing at all after --cleanup', async () => {
  await daemon.hyperctl(['rm', '-a']);
  assert.deepEqual(host.devices(), ['hyper0']);
  await daemon.terminate();
  const [program = '', ...args] = daemon.commandLine;
  const cleaned = await collect(spawn(program, [...args, '--cleanup']));
  assert.equal(cleaned.code, 0, cleaned.stderr);
  assert.deepEqual([host.devices(), host.inside('nft', 'list', 'ruleset')], [[], '']);
});

test('without privileges a network is refused, saying why', async () => {
  await using other = await startDaemon({
    runner: isRoot ? ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'] : [],
  });
  const refused = await other.hyperctl(['network', 'create', 'n']);
  assert.match(refused.stderr, /bridged networks need root \(CAP_NET_ADMIN\)/);
});
