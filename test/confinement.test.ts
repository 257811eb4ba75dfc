import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { startDaemon } from './support/daemon.ts';
import { GUEST } from './support/guest.ts';
import { atStart, sharedDaemon } from './support/shared.ts';

const CONFINE = join(import.meta.dirname, '../build/host/confine');
const programs = ['/usr', '/lib', '/lib64', '/bin', '/etc/ld.so.cache'].flatMap((path) => ['-r', path]);

/** Runs a shell confined: its exit code and all that it said. */
function confined(options: readonly string[], script: string): string {
  const { stdout, stderr } = spawnSync(CONFINE, [...programs, ...options, '--', 'sh', '-c', script], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  return stdout + stderr;
}

const hasLandlock = confined([], 'cat /etc/passwd').includes('Permission denied');
const isRoot = process.getuid?.() === 0;
const skip = hasLandlock ? false : 'the kernel has no Landlock';

const daemon = sharedDaemon();
atStart(async () => {
  for (const name of ['taken', 'other']) {
    const run = await daemon.hyperctl(['run', '-d', '--name', name, 'busybox', 'sleep', '1000']);
    assert.equal(run.code, 0, run.stderr + daemon.log());
  }
});

test('what is confined reads and writes what it was told of, and nothing else', { skip }, () => {
  const { root } = daemon;
  assert.match(confined([], `cat ${root}/state.db; ls ${root}`), /Permission denied[\s\S]*Permission denied/);
  assert.equal(
    confined(
      ['-w', `${root}/builds`],
      `echo a > ${root}/builds/x && cat ${root}/builds/x && rm ${root}/builds/x`,
    ),
    'a\n',
  );
  assert.match(confined(['-r', `${root}/images`], `cat ${root}/images/oci-layout`), /imageLayoutVersion/);
  assert.match(
    confined(['-r', `${root}/images`], `echo x >> ${root}/images/oci-layout`),
    /Permission denied/,
  );
});

test('what is confined signals nobody, and has no privileges, whoever started it', () => {
  const script = `kill -0 ${process.pid}; grep -E "NoNewPrivs|Cap(Eff|Prm|Bnd)" /proc/self/status; ulimit -c`;
  const said = confined(['-r', '/proc'], script);
  if (hasLandlock) assert.match(said, /not permitted/i);
  assert.match(said, /NoNewPrivs:\s1/);
  assert.match(said, /CapPrm:\s0+\nCapEff:\s0+\n/);
  if (process.getuid?.() === 0) assert.match(said, /CapBnd:\s0+\n/);
  assert.match(said, /^0$/m);
});

test('a program that cannot be confined is not run', () => {
  const { status, stderr } = spawnSync(CONFINE, ['-f', '77', '--', 'true'], { encoding: 'utf8' });
  if (hasLandlock) assert.deepEqual([status, stderr.includes('77')], [126, true]);
  assert.equal(spawnSync(CONFINE, ['-x', '--', 'true']).status, 126);
  assert.equal(spawnSync(CONFINE, []).status, 126);
});

/** What QEMU says to each command of its monitor, as whoever has taken it over could ask. */
async function askQemu(socketPath: string, commands: readonly object[]): Promise<string[]> {
  const socket = connect(socketPath);
  const lines: string[] = [];
  socket.write('{"execute":"qmp_capabilities"}\n');
  for (const command of commands) socket.write(`${JSON.stringify(command)}\n`);
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    lines.splice(0, lines.length, ...text.split('\n').filter((line) => /"(return|error)"/.test(line)));
    if (lines.length > commands.length) break;
  }
  socket.destroy();
  return lines.slice(1);
}

const open = (filename: string, readOnly = true): object => ({
  execute: 'blockdev-add',
  arguments: {
    'node-name': `x${filename.length}${readOnly}`,
    driver: 'file',
    filename,
    'read-only': readOnly,
  },
});

/** A running pod's machine: its id, its process, and what the kernel tells of that. */
async function machineOf(pod: string): Promise<{ id: string; pid: number; status: string; uid: number }> {
  const list = (await daemon.hyperctl(['list'])).stdout;
  const id = new RegExp(`^${pod}\\s+\\S+\\s+(vm-\\S+)`, 'm').exec(list)?.[1] ?? assert.fail(list);
  const pid = Number(readFileSync(join(daemon.root, 'machines', id, 'qemu.pid'), 'utf8'));
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return { id, pid, status, uid: Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]) };
}

test('a QEMU that was taken over reaches no other machine, no state of the daemon, and no template', {
  skip: skip && !isRoot ? skip : false,
}, async () => {
  const { root } = daemon;
  const { id: machine, status } = await machineOf('taken');
  assert.match(status, /CapEff:\s0+\n/);
  assert.match(status, /NoNewPrivs:\s1\n/);
  assert.match(status, /Seccomp:\s2\n/);
  const { id: other } = await machineOf('other');
  const [template = ''] = readdirSync(join(root, 'templates'));
  const [blob = ''] = readdirSync(join(root, 'images/blobs/sha256'));
  const layer = readdirSync(join(root, 'images/layers')).find((name) => name.endsWith('.data')) ?? '';
  await daemon.kill(); // the monitor takes one connection at a time
  const denied = [
    open('/etc/passwd'),
    open(join(root, 'state.db')),
    open(join(root, 'pods/other/scratch.img')),
    open(join(root, 'machines', other, 'disk1.img')),
    open(`/proc/self/fd/3/../${other}/disk1.img`),
    open(`${root}/templates/./${template}/memory`, false), // by its own name it is opened for reading: network-guard.c
    open(join(root, 'images/blobs/sha256', blob)),
    open(join(root, 'images/layers', layer), false),
    open(join('/proc/self/fd/5', layer), false),
  ];
  const answers = await askQemu(join(root, 'machines', machine, 'qmp.sock'), [
    ...denied,
    open(join('/proc/self/fd/5', layer)),
  ]);
  for (const answer of answers.slice(0, denied.length)) assert.match(answer, /Permission denied/);
  assert.match(answers.at(-1) ?? '', /"return"/);
  await daemon.restart();
  const exec = await daemon.hyperctl(['exec', 'taken', 'echo', 'still there']);
  assert.equal(exec.stdout, 'still there\n', exec.stderr);
});

test('machines of root run as users of their own, who neither read nor signal each other without any Landlock', {
  skip: isRoot ? false : 'only a daemon of root can give them users',
}, async () => {
  const [taken, other] = [await machineOf('taken'), await machineOf('other')];
  assert.equal(new Set([taken.uid, other.uid, 0]).size, 3);
  const directory = join(daemon.root, 'machines', other.id);
  // What the system lets that user do: nothing else than its rights stands in the way here.
  const asTaken = (command: string): string => {
    const user = { uid: taken.uid, gid: taken.uid };
    const { stdout, stderr } = spawnSync('sh', ['-c', command], { ...user, cwd: '/', encoding: 'utf8' });
    return stdout + stderr;
  };
  assert.match(asTaken(`kill -0 ${other.pid}`), /not permitted/i);
  assert.match(asTaken(`kill -0 ${daemon.process.pid}`), /not permitted/i);
  assert.equal(asTaken(`kill -0 ${taken.pid} && echo own`), 'own\n');
  assert.match(asTaken(`cat /proc/${other.pid}/environ`), /Permission denied/);
  for (const path of [`${directory}/console.log`, `${directory}/qmp.sock`, join(daemon.root, 'state.db')])
    assert.match(asTaken(`cat ${path}`), /Permission denied/);
  assert.equal(statSync(directory).uid, other.uid);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
});

test('a machine keeps its user when the daemon dies, and a new one gets another', {
  skip: isRoot ? false : 'only a daemon of root can give them users',
}, async () => {
  const before = [(await machineOf('taken')).uid, (await machineOf('other')).uid];
  await daemon.kill();
  await daemon.restart();
  const run = await daemon.hyperctl(['run', '-d', '--name', 'later', 'busybox', 'sleep', '1000']);
  assert.equal(run.code, 0, run.stderr + daemon.log());
  assert.deepEqual([(await machineOf('taken')).uid, (await machineOf('other')).uid], before);
  assert.equal(before.includes((await machineOf('later')).uid), false);
  // What is plugged into an adopted machine gets to its user, too.
  const exec = await daemon.hyperctl(['exec', 'taken', 'sh', '-c', 'echo x > /written && cat /written']);
  assert.equal(exec.stdout, 'x\n', exec.stderr);
  assert.equal((await daemon.hyperctl(['rm', 'later'])).code, 0);
});

test('a QEMU inherits its own descriptors, and none that the daemon was started with', async () => {
  const { pid } = await machineOf('taken');
  const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  const files = targets.filter((target) => target.startsWith('/') && !target.startsWith('/dev/'));
  const known = [daemon.root, join(import.meta.dirname, '../build/guest'), dirname(GUEST.kernel)];
  assert.deepEqual(
    files.filter((file) => !known.some((path) => file.startsWith(path))),
    [],
  );
});

/** Directories of the process's cgroups that the daemon has made, by controller. */
function cgroupsOf(pid: number): Map<string, string> {
  const found = new Map<string, string>();
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  for (const line of readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')) {
    const [, names = '', path = ''] = line.split(':');
    if (!/\/hyper-[0-9a-f]{6}\/vm-/.test(path)) continue;
    for (const name of names === '' ? ['memory', 'pids', 'cpu'] : names.split(',')) {
      const type = names === '' ? 'cgroup2 ' : `cgroup .*\\b${name}$`;
      const mount = new RegExp(`^\\S+ \\S+ \\S+ / (\\S+) .* - ${type}`, 'm').exec(mounts)?.[1];
      if (mount) found.set(name, join(mount, path));
    }
  }
  return found;
}

test('machines have cgroups of their own, which outlive the daemon and go with them', async (t) => {
  const info = (await daemon.hyperctl(['info'])).stdout;
  if (!/Machine cgroups: one each/.test(info)) {
    assert.match(info, /Machine cgroups: none: ./);
    t.skip('the host has none that could be used');
    return;
  }
  const [taken, other] = [await machineOf('taken'), await machineOf('other')];
  const groups = cgroupsOf(taken.pid);
  assert.ok(groups.size > 0);
  const bound = (name: string, ...files: string[]): string[] =>
    files
      .map((file) => join(groups.get(name) ?? '', file))
      .filter((file) => existsSync(file))
      .map((file) => readFileSync(file, 'utf8').trim());
  const mib = 128 + 96 + 1024;
  if (groups.has('memory'))
    assert.deepEqual(bound('memory', 'memory.max', 'memory.limit_in_bytes'), [String(mib * 1024 ** 2)]);
  if (groups.has('pids')) assert.deepEqual(bound('pids', 'pids.max'), ['512']);
  if (groups.has('cpu'))
    assert.match(bound('cpu', 'cpu.max', 'cpu.cfs_quota_us').join(' '), /^200000( 100000)?$/);
  for (const [controller, path] of cgroupsOf(other.pid)) assert.notEqual(path, groups.get(controller));
  await daemon.kill();
  await daemon.restart();
  assert.deepEqual(cgroupsOf(taken.pid), groups);
  assert.equal((await daemon.hyperctl(['rm', 'taken'])).code, 0);
  for (const path of groups.values()) assert.equal(existsSync(path), false, path);
});

test('a cgroup that is left of a machine is told, and removed by the doctor and by a start', async (t) => {
  const parents = [...cgroupsOf((await machineOf('other')).pid).values()].map((path) => dirname(path));
  if (parents.length === 0) {
    t.skip('the host has none that could be used');
    return;
  }
  const left = parents.map((parent) => join(parent, 'vm-left'));
  for (const path of left) mkdirSync(path);
  assert.match(
    (await daemon.hyperctl(['doctor'])).stdout,
    /the cgroup \S+\/vm-left is of a machine that there is no more/,
  );
  await daemon.hyperctl(['doctor', '--fix']);
  for (const path of left) assert.equal(existsSync(path), false, path);
  for (const path of left) mkdirSync(path);
  await daemon.terminate();
  await daemon.restart();
  for (const path of left) assert.equal(existsSync(path), false, path);
});

test('a daemon that may not change users says so, and its machines run as it does', {
  skip: isRoot ? false : 'only root has the right to lose',
}, async () => {
  const runner = ['setpriv', '--bounding-set', '-setuid', '--inh-caps', '-setuid'];
  await using limited = await startDaemon({ runner });
  assert.match(
    (await limited.hyperctl(['info'])).stdout,
    /Machine users: the daemon's own, for all: .* SETUID/,
  );
  assert.match(limited.log(), /lacks the capabilities SETUID.*machine users: there are none/);
  assert.match((await limited.hyperctl(['doctor'])).stdout, /note: machine users: there are none/);
  const run = await limited.hyperctl(['run', '--rm', 'busybox', 'echo', 'hi']);
  assert.equal(run.stdout, 'hi\n', run.stderr + limited.log());
});

test('users and cgroups can be switched off, and so are what is in their place', async () => {
  const configuration = join(daemon.root, '../off.conf');
  writeFileSync(configuration, 'MachineUsers=none\nCgroup=none\n');
  await using plain = await startDaemon({ args: ['--config', configuration] });
  const info = (await plain.hyperctl(['info'])).stdout;
  assert.match(info, /Machine users: the daemon's own, for all: /);
  assert.match(info, /Machine cgroups: none: so it is configured/);
  const run = await plain.hyperctl(['run', '--rm', 'busybox', 'echo', 'hi']);
  assert.equal(run.stdout, 'hi\n', run.stderr + plain.log());
});
