import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { type Client, createClient } from '@hyperd/client';
import { eventually, startDaemon, type TestDaemon } from './support/daemon.ts';
import { netPod } from './support/net-tool.ts';
import { openNetns, type TestNetns } from './support/netns.ts';

const isRoot = process.getuid?.() === 0;
const FRONT = '10.78.1.0/24';
const BACK = '10.78.2.0/24';

let host: TestNetns;
let daemon: TestDaemon;
let client: Client;

before(async () => {
  if (!isRoot) return;
  host = openNetns([FRONT, BACK]);
  daemon = await startDaemon({ runner: host.runner });
  client = createClient(`unix://${daemon.socket}`);
  await client.createNetwork({ name: 'front', subnet: FRONT });
  await client.createNetwork({ name: 'back', subnet: BACK });
  for (const [pod, network] of [
    ['web', 'front'],
    ['db', 'back'],
    ['visitor', 'front'],
  ] as const)
    await client.createPod(netPod(pod, ['serve', 'tcp:80'], { network }));
  for (const pod of ['web', 'db', 'visitor']) await client.startPod(pod);
  await eventually('the pod serves', async () => (await exec('visitor', 'nc', 'web', '80')) === 'tcp:80');
});
after(async () => {
  client?.[Symbol.dispose]();
  await daemon?.[Symbol.asyncDispose]();
  host?.[Symbol.dispose]();
});

/** Only root can have bridges. */
function rootTest(name: string, run: () => Promise<void>): void {
  test(name, { skip: !isRoot && 'bridges need root' }, run);
}

const run = async (pod: string, seconds: number, ...command: string[]): Promise<string> =>
  (await daemon.hyperctl(['exec', pod, 'timeout', `${seconds}`, ...command])).stdout.trim();
const exec = (pod: string, ...command: string[]): Promise<string> => run(pod, 30, ...command);
/** The same for what is expected to get no answer. */
const inVain = (pod: string, ...command: string[]): Promise<string> => run(pod, 3, ...command);
const addresses = async (pod: string): Promise<string[]> => [
  ...((await client.podInfo(pod)).status.podIP ?? []),
];
const podsOn = async (network: string): Promise<string[]> =>
  (await client.network(network)).pods.map(({ pod }) => pod).sort();

/** What a pod on two networks has to be able to do, and what nobody else is to. */
async function connected(back: string): Promise<void> {
  assert.deepEqual((await addresses('web')).slice(1), [`${back}/24`]);
  assert.equal(await exec('db', 'nc', 'web', '80'), 'tcp:80', 'by its name on the second network');
  assert.match(await exec('db', 'nslookup', 'web'), new RegExp(`Address: ${back}$`, 'm'));
  assert.equal(await exec('web', 'nc', 'db', '80'), 'tcp:80', 'the names of its second network');
  assert.equal(await exec('visitor', 'nc', 'web', '80'), 'tcp:80', 'on its first network');
  assert.equal(await inVain('visitor', 'nc', back, '80'), '', 'networks are kept apart');
  assert.match(await exec('visitor', 'nslookup', 'db'), /NXDOMAIN/);
}

rootTest('a running pod is connected to a second network, under its name and apart from others', async () => {
  assert.equal(await inVain('web', 'nc', (await addresses('db'))[0]?.replace('/24', '') ?? '', '80'), '');
  const said = await daemon.hyperctl(['network', 'connect', '--ip', '10.78.2.77', 'back', 'web']);
  assert.equal(said.code, 0, said.stderr);
  await connected('10.78.2.77');
  assert.match(await exec('web', 'ip', 'route'), /^default via 10\.78\.1\.1 dev eth0/m);
  assert.deepEqual(await podsOn('back'), ['db', 'web']);
});

rootTest(
  'the connection is there again with the next daemon, and when the pod is started again',
  async () => {
    await daemon.kill();
    await daemon.restart();
    await connected('10.78.2.77');
    await client.stopPod('web');
    assert.match(await exec('db', 'nslookup', 'web'), /NXDOMAIN/);
    await client.startPod('web');
    await eventually('the pod serves', async () => (await exec('db', 'nc', 'web', '80')) === 'tcp:80');
    await connected('10.78.2.77');
  },
);

rootTest('a guest cannot send in the name of another on its second network', async () => {
  const [, own = ''] = await addresses('web');
  const sent = async (from: string): Promise<number> => {
    const before_ = received();
    await exec('web', '/net-tool', 'forge', from, '10.78.2.1', '9000', 'x');
    return received() - before_;
  };
  assert.equal(await sent('10.78.2.66'), 0);
  assert.equal(await sent(own.replace('/24', '')), 1);
});

/** Datagrams to a port of the host that nobody has. */
function received(): number {
  return Number(/^NoPorts +(\d+)$/m.exec(host.inside('sh', '-c', NO_PORTS))?.[0].split(/ +/)[1] ?? 0);
}
const NO_PORTS = 'nstat -asz UdpNoPorts 2>/dev/null | awk \'/NoPorts/ { print "NoPorts", $2 }\'';

rootTest('a pod is taken off a network at once, and can be put on it again', async () => {
  const said = await daemon.hyperctl(['network', 'disconnect', 'back', 'web']);
  assert.equal(said.code, 0, said.stderr);
  assert.match(await exec('db', 'nslookup', 'web'), /NXDOMAIN/);
  assert.doesNotMatch(await exec('web', 'ip', 'link'), /eth1/);
  assert.equal((await addresses('web')).length, 1);
  assert.equal(await exec('visitor', 'nc', 'web', '80'), 'tcp:80');
  await client.connectNetwork('back', 'web');
  const [, address = ''] = await addresses('web');
  assert.notEqual(address, '10.78.2.77/24', 'an address that has just become free');
  await connected(address.replace('/24', ''));
});

rootTest('a pod can be put on networks before it starts, and be made with several', async () => {
  const [front, back] = await Promise.all([client.network('front'), client.network('back')]);
  const interfaces = [
    { bridge: back.bridge, ip: '10.78.2.99/24' },
    { bridge: front.bridge, ip: '10.78.1.99/24' },
  ];
  await client.createPod(netPod('both', ['serve', 'tcp:80'], { interfaces }));
  await client.createPod(netPod('later', ['serve', 'tcp:80'], { network: 'front' }));
  await client.connectNetwork('back', 'later', { address: '10.78.2.98' });
  for (const pod of ['both', 'later']) await client.startPod(pod);
  await eventually(
    'the pod serves',
    async () => (await exec('later', 'nc', '10.78.2.99', '80')) === 'tcp:80',
  );
  assert.match(await exec('both', 'ip', 'route'), /^default via 10\.78\.2\.1 dev eth0/m);
  assert.equal(await exec('both', 'nc', '10.78.2.98', '80'), 'tcp:80');
  assert.match((await addresses('both')).join(), /^10\.78\.2\.99\/24,10\.78\.1\.99\/24$/);
  for (const pod of ['both', 'later']) await client.removePod(pod);
});

for (const [what, args, message] of [
  ['a network that it is on', ['connect', 'front', 'web'], /it is on it already/],
  ['a network that is not there', ['connect', 'nowhere', 'web'], /there is no network "nowhere"/],
  [
    "another pod's address",
    ['connect', '--ip', '10.78.2.1', 'back', 'visitor'],
    /the bridge has 10\.78\.2\.1/,
  ],
  ['leaving its first network', ['disconnect', 'front', 'web'], /it was created on it/],
  ['leaving a network that it is not on', ['disconnect', 'back', 'visitor'], /it is not on it/],
  ['a network for a pod without a bridge', ['connect', 'back', 'alone'], /it is in the user-mode network/],
] as const)
  rootTest(`${what} is refused, and nothing is changed`, async () => {
    if (args.some((arg) => arg === 'alone')) await client.createPod({ id: 'alone', network: 'user' });
    const before_ = [await podsOn('front'), await podsOn('back')];
    const { code, stderr } = await daemon.hyperctl(['network', ...args]);
    assert.match(stderr, message);
    assert.notEqual(code, 0);
    assert.deepEqual([await podsOn('front'), await podsOn('back')], before_);
  });

rootTest('white lists say who may connect to a pod, to which ports, and to no other pod', async () => {
  const FRIEND = '10.78.1.50';
  const at = (ip: string) => ({ interfaces: [{ bridge, ip: `${ip}/24` }] });
  const { bridge } = await client.network('front');
  const lists = (internal: string, external: string) => ({
    portmappingWhiteLists: { internalNetworks: [internal, `${internal}/32`], externalNetworks: [external] },
  });
  const published = (hostPort: string) => ({ portmappings: [{ hostPort, containerPort: '80' }] });
  const serve = ['serve', 'tcp:80', 'tcp:81', 'udp:82'];
  await client.createPod(
    netPod('shut', serve, { ...at('10.78.1.60'), ...published('8080'), ...lists(FRIEND, host.world) }),
  );
  await client.createPod(
    netPod('open', serve, {
      ...at('10.78.1.61'),
      ...published('8081'),
      ...lists(host.world, '192.0.2.0/24'),
    }),
  );
  await client.createPod(netPod('friend', serve, at(FRIEND)));
  for (const pod of ['shut', 'open', 'friend']) await client.startPod(pod);
  const ask = (address: string, port: number): string =>
    host.outside('sh', '-c', `busybox nc -w 5 ${address} ${port} </dev/null`).trim();
  await eventually('pods serve', async () => (await exec('friend', 'nc', 'shut', '81')) === 'tcp:81');
  assert.match(await exec('friend', '/net-tool', 'ask', '10.78.1.60', '82', 'x'), /udp:82/);
  assert.equal(ask(host.address, 8080), 'tcp:80', 'external, published');
  assert.equal(ask('10.78.1.60', 81), '', 'external, not published');
  assert.equal(await inVain('visitor', 'nc', 'shut', '80'), '', 'a neighbour that is not listed');
  assert.equal(await inVain('visitor', '/net-tool', 'ask', '10.78.1.60', '82', 'x'), '');
  assert.equal(await inVain('visitor', 'nc', host.address, '8080'), '');
  assert.equal(await exec('shut', 'nc', 'friend', '80'), 'tcp:80', 'what it asks for is answered');
  assert.equal(await inVain('shut', '/net-tool', 'ask', '10.78.1.61', '82', 'x'), '');
  assert.match(await exec('shut', '/net-tool', 'ask', FRIEND, '82', 'x'), /udp:82/);
  await daemon.kill();
  host.inside('nft', 'flush', 'ruleset');
  await daemon.restart();
  assert.equal(ask('10.78.1.61', 81), 'tcp:81', 'internal');
  assert.equal(ask(host.address, 8081), 'tcp:80');
  assert.equal(await inVain('visitor', 'nc', 'open', '80'), '');
  for (const pod of ['shut', 'open', 'friend']) await client.removePod(pod);
  assert.doesNotMatch(host.inside('nft', 'list', 'ruleset'), /10\.78\.1\.6\d|192\.0\.2/);
});

rootTest("pods reach the world and are reached where Docker's rules drop what is forwarded", async () => {
  const docker = `iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER
    iptables -A DOCKER-USER -j RETURN`;
  host.inside('sh', '-ec', docker);
  const serve = 'require("net").createServer((s) => s.end("world")).listen(7000, () => console.log("ready"))';
  const server = host.spawnOutside(process.execPath, '-e', serve);
  try {
    await once(server.stdout as NodeJS.ReadableStream, 'data');
    assert.equal(await inVain('visitor', 'nc', host.world, '7000'), '');
    await daemon.kill();
    await daemon.restart();
    assert.equal(await exec('visitor', 'nc', host.world, '7000'), 'world');
    await client.addPortMappings('visitor', [{ hostPort: '8090', containerPort: '80' }]);
    const asked = `busybox nc -w 3 ${host.address} 8090 </dev/null`;
    assert.equal(host.outside('sh', '-c', asked).trim(), 'tcp:80');
    await client.createNetwork({ name: 'short' });
    const { bridge } = await client.network('short');
    const rules = (): string => host.inside('iptables', '-S', 'DOCKER-USER');
    assert.match(rules(), new RegExp(`-i ${bridge} -o up0 .*-j ACCEPT`));
    await client.removeNetwork('short');
    assert.doesNotMatch(rules(), new RegExp(bridge));
  } finally {
    server.kill();
  }
});

rootTest('places are free again when the pod is removed, and all of it was told', async () => {
  assert.match((await daemon.hyperctl(['network', 'rm', 'back'])).stderr, /pod "(db|web)" is on it/);
  for (const pod of ['web', 'db']) await client.removePod(pod);
  assert.deepEqual(await podsOn('back'), []);
  await client.removeNetwork('back');
  const taps = host.devices().filter((name) => /t\w$/.test(name));
  assert.equal(taps.length, 1, 'that of the one pod that is left');
  const told = await daemon.hyperctl(['events', '--since', '1h', '--until', '0s', '--format', 'json']);
  const events = told.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map(
      (line) =>
        JSON.parse(line) as { type: string; action: string; name: string; attributes: { pod?: string } },
    )
    .filter(({ type, name }) => type === 'network' && name === 'back')
    .map(({ action, attributes }) => `${action} ${attributes.pod ?? ''}`.trim());
  assert.deepEqual(events.slice(-3), ['disconnect web', 'disconnect db', 'destroy']);
});
