import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { type Config, loadConfig, type Surroundings } from './load-config.ts';

const user: Surroundings = {
  env: { HOME: '/home/u', XDG_RUNTIME_DIR: '/run/user/7' },
  uid: 7,
  guestDirectory: '/guest',
};

function load(argv: string[], file?: string, surroundings = user): Config {
  const directory = mkdtempSync(join(tmpdir(), 'config-'));
  try {
    const path = join(directory, 'config');
    writeFileSync(path, file ?? '');
    const command = loadConfig(['--config', path, ...argv], surroundings);
    assert.equal(command.kind, 'run');
    return (command as { config: Config }).config;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("an ordinary user's defaults lie in the user's own directories", () => {
  const { root, hosts, kernel } = load([]);
  assert.deepEqual(
    [root, hosts, kernel],
    ['/home/u/.local/share/hyper', ['unix:///run/user/7/hyper.sock'], '/guest/vmlinux'],
  );
});

test("root's defaults are the original's", () => {
  const { root, hosts } = load([], '', { ...user, uid: 0 });
  assert.deepEqual([root, hosts], ['/var/lib/hyper', ['unix:///var/run/hyper.sock']]);
});

test('flags win over the file, the file over the defaults; keys are read in any case', () => {
  const file =
    '# comment\nROOT=/from/file\nKernel = "/file/kernel"\nHost=unix:///file.sock\n[Log]\nPodLogPrefix=/logs\nmax-size=1m\n';
  const config = load(['--root', '/from/flag', '--insecure_registry', 'a:1, b:2,'], file);
  assert.equal(config.root, '/from/flag');
  assert.equal(config.kernel, '/file/kernel');
  assert.deepEqual(config.hosts, ['unix:///file.sock']);
  assert.deepEqual(config.logs, {
    ...{ directory: '/logs', isByPod: true, choice: { type: '', config: { 'max-size': '1m' } } },
  });
  assert.deepEqual(config.registries.insecureRegistries, ['a:1', 'b:2']);
  assert.deepEqual(config.warnings, []);
});

test('registries are told by flag or file', () => {
  const fromFile = load(
    [],
    'RegistryMirror=https://m, quay.io=http://n\nInsecureRegistry=a:1\nCertsDir=/c,/d\nMaxImageSize=2G',
  );
  assert.deepEqual(fromFile.registries, {
    ...{
      mirrors: ['https://m', 'quay.io=http://n'],
      insecureRegistries: ['a:1'],
      certsDirectories: ['/c', '/d'],
    },
  });
  assert.equal(fromFile.maxImageBytes, 2 * 1024 ** 3);
  const fromFlags = load(
    ['--registry-mirror', 'https://o', '--certs-dir', '/e', '--max-image-size', '500M'],
    'MaxImageSize=2G',
  );
  assert.deepEqual(
    [fromFlags.registries.mirrors, fromFlags.registries.certsDirectories],
    [['https://o'], ['/e']],
  );
  assert.equal(fromFlags.maxImageBytes, 500 * 1024 ** 2);
});

test('ports are published on all addresses and loopback is closed to pods, unless flag or file says otherwise', () => {
  const network = ({ publishAddress, hostLoopback }: Config) => [publishAddress, hostLoopback];
  assert.deepEqual(network(load([])), ['0.0.0.0', false]);
  const file = 'PublishAddress=127.0.0.1\nHostLoopback=yes';
  assert.deepEqual(network(load([], file)), ['127.0.0.1', true]);
  assert.deepEqual(network(load(['--publish-address', '10.0.0.1'], file)), ['10.0.0.1', true]);
  assert.deepEqual(network(load(['--host-loopback'])), ['0.0.0.0', true]);
});

test("there is a default bridge where flag or file asks for one, with the original's defaults", () => {
  const bridges = (argv: string[], file?: string) => Object.values(load(argv, file).bridges);
  assert.deepEqual(bridges([]), [undefined, '192.168.123.0/24', true]);
  assert.deepEqual(bridges([], 'Bridge=br1\nDisableIptables=true'), ['br1', '192.168.123.0/24', false]);
  assert.deepEqual(bridges(['--bridge-ip', '10.1.0.1/16', '--noniptables']), [
    'hyper0',
    '10.1.0.1/16',
    false,
  ]);
});

test('the pool is told by flag, file and the original setting', () => {
  const pool = (argv: string[], file?: string) => load(argv, file).pool;
  assert.deepEqual(pool([]), {
    ...{ max: 4, min: 1, images: true, idleMinutes: 10, standing: [], templates: [], booted: [] },
  });
  const file =
    'PoolMax=8\nPoolMin=2\nPoolImages=no\nPoolIdleMinutes=3\nVmFactoryPolicy={"cache":2,"template":true,"cpu":2,"memory":512}';
  const shape = { vcpus: 2, memoryMib: 512 };
  assert.deepEqual(pool([], file), {
    ...{ max: 8, min: 2, images: false, idleMinutes: 3, standing: [{ shape, count: 2 }], templates: [shape] },
    booted: [],
  });
  const original = pool([], 'VmFactoryPolicy={"cache":1}');
  const small = { vcpus: 1, memoryMib: 128 };
  assert.deepEqual(
    [original.max, original.min, original.standing, original.booted],
    [0, 0, [{ shape: small, count: 1 }], [small]],
  );
  const off = pool(['--pool-max', '0'], file);
  assert.deepEqual([off.max, off.min, off.standing], [0, 0, []]);
});

test('unknown keys and keys without effect are warnings that name file and line', () => {
  const { warnings } = load([], 'Nonsense=1\nVbox=x\n[Other]\nx=y\n');
  assert.match(warnings[0] ?? '', /config:1: unknown key "Nonsense"/);
  assert.match(warnings[1] ?? '', /config:2: Vbox has no effect/);
  assert.match(warnings[2] ?? '', /config:4: unknown key "x" in section \[Other\]/);
});

for (const [file, message] of [
  ['\nRoot=relative\n', /config:2: Root is "relative"; want an absolute path/],
  ['Host=nowhere', /config:1: Host is "nowhere"; want unix:\/\/\/PATH, tcp:.* or tls:/],
  ['DisableIptables=maybe', /config:1: DisableIptables is "maybe"; want true or false/],
  ['GDBTCPPort=-1', /want a whole number/],
  ['RegistryMirror=ftp://x', /config:1: RegistryMirror is "ftp:\/\/x"; want URL or HOST=URL/],
  ['MaxImageSize=0', /config:1: MaxImageSize is "0"; want a size from 1 on/],
  ['PublishAddress=localhost', /config:1: PublishAddress is "localhost"; want an IPv4 address/],
  ['Bridge=a/b', /config:1: Bridge is "a\/b"; want a name for a bridge/],
  ['BridgeIP=10.0.0.1/31', /config:1: BridgeIP is "10.0.0.1\/31"; want an IPv4 address with prefix length/],
  ['HostLoopback=maybe', /want true or false/],
  ['Hypervisor=vmware', /config:1: Hypervisor is "vmware"; want qemu/],
  ['Hypervisor=xen', /this version has qemu/],
  ['PoolMax=257', /config:1: PoolMax is "257"; want a whole number from 0 \(no pool\) to 256/],
  ['PoolIdleMinutes=0', /want a whole number of minutes from 1 to 1440/],
  ['VmFactoryPolicy={"cache":-1}', /config:1: VmFactoryPolicy: entry 1: cache is -1; want a whole number/],
  ['no equals sign', /config:1: "no equals sign"; want Key=Value/],
] as const) {
  test(`the file "${file.trim()}" is refused, saying where and what is right`, () => {
    assert.throws(
      () => load([], file),
      (error) => isHyperError(error, 'invalid-argument') && message.test(error.message),
    );
  });
}

for (const argv of [
  ['--nonsense'],
  ['--host', 'tcp://0.0.0.0:80'],
  ['--host', 'http://x'],
  ['--log-level', 'loud'],
  ['--registry-mirror', 'mirror.example'],
  ['--max-image-size', '12X'],
  ['--hypervisor', 'xen'],
  ['--publish-address', '::1'],
  ['positional'],
]) {
  test(`"${argv.join(' ')}" is refused`, () => {
    assert.throws(
      () => load(argv),
      (error) => isHyperError(error, 'invalid-argument'),
    );
  });
}

test('who may reach the API is told by flags and file', () => {
  const { guard } = load([], '');
  assert.deepEqual(guard.socket, { mode: 0o660, groupId: undefined });
  assert.deepEqual([guard.tlsDirectory, guard.auditLog], [undefined, '/home/u/.local/share/hyper/audit.log']);
  const file =
    'TLSDir=/t\nSocketGroup=root\nSocketMode=600\nAuditLog=none\n[Access]\nAlice = pods a-* b\n* = read';
  const told = load(['--host', 'tls://0.0.0.0:2376', '--socket-group', '7'], file).guard;
  assert.deepEqual([told.tlsDirectory, told.auditLog], ['/t', undefined]);
  assert.deepEqual(told.socket, { mode: 0o600, groupId: 7 });
  assert.deepEqual(Object.fromEntries(told.rules), {
    Alice: { kind: 'pods', patterns: ['a-*', 'b'] },
    '*': { kind: 'read' },
  });
  assert.throws(() => load(['--socket-group', 'no-such-group']), /find group "no-such-group"/);
  assert.throws(
    () => load([], '[Access]\nBob = write'),
    /config:2: Bob is "write"; want all, read, none, or pods/,
  );
  assert.match(load(['--host', 'tcp://127.0.0.1:1']).warnings.join(), /every user of this host/);
});

test('users and cgroups of machines are told by the file', () => {
  const { machineUsers, cgroup } = load([]);
  assert.deepEqual([machineUsers, cgroup], [undefined, 'auto']);
  const told = load([], 'MachineUsers=200000:65536\nCgroup=/machines.slice');
  assert.deepEqual([told.machineUsers, told.cgroup], [{ first: 200_000, count: 65_536 }, '/machines.slice']);
  const off = load([], 'MachineUsers=None\nCgroup=NONE');
  assert.deepEqual([off.machineUsers, off.cgroup], ['none', 'none']);
  for (const bad of ['0:10', '999:10', '2000:1', '4294967000:295', '2000', 'root', '2000:-5'])
    assert.throws(() => load([], `MachineUsers=${bad}`), /MachineUsers is ".*"; want FIRST:COUNT/);
  for (const bad of ['machines', '/a/../b', '..'])
    assert.throws(() => load([], `Cgroup=${bad}`), /Cgroup is ".*"; want auto, none, or the path/);
});

test('a file that was asked for has to be there', () => {
  assert.throws(() => loadConfig(['--config', '/nonexistent/config'], user), /nonexistent/);
});

test('gRPC is served only where that is asked for, and on loopback', () => {
  assert.equal(load([]).grpcHost, undefined);
  const local = load(['--grpc-host', '127.0.0.1:0'], 'gRPCHost=127.0.0.1:22318');
  assert.equal(local.grpcHost, '127.0.0.1:0');
  assert.match(local.warnings.join(), /gRPC on 127.0.0.1:0: every user of this host/);
  assert.throws(() => load(['--grpc-host', '0.0.0.0:0']), /serve gRPC on "0.0.0.0:0": it is not encrypted/);
  for (const bad of ['22318', ':22318', '127.0.0.1', '127.0.0.1:65536', 'tcp://127.0.0.1:1', '[::1:7'])
    assert.throws(() => load(['--grpc-host', bad]), /--grpc-host ".*"; want ADDRESS:PORT/);
  assert.throws(() => load([], 'gRPCHost=x'), /gRPCHost is "x"; want ADDRESS:PORT/);
});
