import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CommandResult, eventually, pidsMentioning } from './support/daemon.ts';
import { busyboxLayer, type LayerEntry, layoutArchive } from './support/images.ts';
import { sharedDaemon, sharedDirectory } from './support/shared.ts';

const daemon = sharedDaemon();
const host = realpathSync(sharedDirectory('hyv-'));

const run = (...args: string[]): Promise<CommandResult> => daemon.hyperctl(['run', '--rm', ...args]);
const fileServers = (): number[] => pidsMentioning(daemon.root, 'virtiofsd');

/** A new directory of the host with these files. */
function directory(name: string, files: Readonly<Record<string, string>> = {}): string {
  const path = join(host, name);
  mkdirSync(path);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

function podFile(name: string, spec: object): string {
  const path = join(host, `${name}.json`);
  writeFileSync(path, JSON.stringify(spec));
  return path;
}

test('a host directory is read and written; read-only it stays as it is, whatever root in the guest tries', async () => {
  const source = directory('rw', { f: 'from the host\n' });
  const inside = await run(
    '-v',
    `${source}:/data`,
    'busybox',
    'sh',
    '-c',
    'cat /data/f; echo back > /data/g; chown 7:8 /data/g',
  );
  assert.deepEqual([inside.code, inside.stdout], [0, 'from the host\n'], inside.stderr + daemon.log());
  assert.equal(readFileSync(join(source, 'g'), 'utf8'), 'back\n');
  assert.deepEqual([statSync(join(source, 'g')).uid, statSync(join(source, 'g')).gid], [7, 8]);
  // Outside of all containers root may do anything in the guest; the share itself is read-only on the host.
  assert.equal(
    (
      await daemon.hyperctl([
        'run',
        '-d',
        '--name',
        'ro',
        '-v',
        `${source}:/data:ro`,
        'busybox',
        'sleep',
        '1000',
      ])
    ).code,
    0,
  );
  const [info] = JSON.parse((await daemon.hyperctl(['inspect', 'ro'])).stdout);
  const [listed] = info.spec.volumes;
  assert.deepEqual([listed.source, listed.driver], [source, 'vfs']);
  assert.deepEqual(info.spec.containers[0].volumeMounts, [
    { name: listed.name, mountPath: '/data', readOnly: true },
  ]);
  const refused = await daemon.hyperctl(['exec', 'ro', 'sh', '-c', 'echo x > /data/h']);
  assert.match(refused.stderr + refused.stdout, /Read-only file system/);
  const script =
    'cd /run/hyper/shares/share0 && mount -o remount,rw . ; echo x > 0/h; echo x > 0/f; rm -f 0/g; echo x > new; ls -a 0/.. ../../../..; cat 0/../../../../../etc/hostname';
  await daemon.hyperctl(['exec', '-m', 'ro', '/bin/busybox', 'sh', '-c', script]);
  assert.deepEqual(readdirSync(source).sort(), ['f', 'g']);
  assert.equal(readFileSync(join(source, 'f'), 'utf8'), 'from the host\n');
  await daemon.hyperctl(['rm', 'ro']);
  assert.deepEqual(fileServers(), []);
});

test('links in a shared directory mean the guest, not the host; a link as the source is followed once, on the host', async () => {
  const source = directory('links');
  writeFileSync(join(host, 'secret'), 'of the host\n');
  symlinkSync(join(host, 'secret'), join(source, 'out'));
  symlinkSync('/etc/hostname', join(source, 'absolute'));
  symlinkSync(source, join(host, 'to-links'));
  const { stdout } = await run(
    ...['--name', 'in-guest', '-v', `${join(host, 'to-links')}:/data`, 'busybox', 'sh', '-c'],
    'cat /data/absolute; cat /data/out; cat /data/../data/../../../../../../secret; mknod /data/null c 1 3; ls /data',
  );
  assert.equal(stdout, 'in-guest\nabsolute\nout\n');
});

test('a single file, several places of one directory, and volumes inside volumes', async () => {
  const source = directory('nested', { hosts: 'a host of our own\n' });
  const { stdout, stderr } = await run(
    ...[
      '-v',
      `${source}:/a/b/c`,
      '-v',
      `${join(source, 'hosts')}:/etc/hosts`,
      '-v',
      '/a',
      '-v',
      `${source}:/other:ro`,
      'busybox',
      'sh',
      '-c',
    ],
    'cat /etc/hosts; echo inner > /a/b/c/inner; echo outer > /a/outer; cat /other/inner; ls /a /a/b; touch /other/x',
  );
  assert.equal(stdout, 'a host of our own\ninner\n/a:\nb\nouter\n\n/a/b:\nc\n');
  assert.match(stderr, /Read-only file system/);
  assert.deepEqual(readdirSync(source).sort(), ['hosts', 'inner']);
});

test("links of an image on the way to a volume stay in the container; the kernel's own places are refused", async () => {
  const source = directory('target', { mark: 'mounted\n' });
  const archive = join(host, 'links.tar');
  const links: LayerEntry[] = [
    { name: 'leads', type: 'symlink', linkName: '../../../../tmp/deep' },
    { name: 'kernel', type: 'symlink', linkName: '/proc' },
    { name: 'root', type: 'symlink', linkName: '/' },
  ];
  writeFileSync(archive, layoutArchive({ layers: [busyboxLayer(), links], ref: 'links:1' }));
  assert.equal((await daemon.hyperctl(['load', '-i', archive])).code, 0);
  const led = await run('-v', `${source}:/leads/in`, 'links:1', 'cat', '/tmp/deep/in/mark', '/leads/in/mark');
  assert.equal(led.stdout, 'mounted\nmounted\n', led.stderr);
  for (const path of ['/kernel', '/kernel/sys', '/root']) {
    const { code, stderr } = await run('-v', `${source}:${path}`, 'links:1', 'true');
    assert.deepEqual(
      [code === 0, /the container's root, or the kernel's/.test(stderr)],
      [false, true],
      stderr,
    );
  }
  for (const path of [
    '/',
    '/proc',
    '/proc/sys',
    '/sys/fs/cgroup',
    '/dev',
    '//dev//pts/',
    '/x/../proc',
    'relative',
  ]) {
    const bad = {
      id: 'bad',
      volumes: [{ name: 'v', source, format: 'vfs' }],
      containers: [{ image: 'busybox', volumes: [{ path, volume: 'v' }] }],
    };
    const { code, stderr } = await daemon.hyperctl(['run', '-p', podFile('bad', bad)]);
    assert.equal(code, 1, path);
    assert.match(stderr, /"containers\[0\]\.volumes\[0\]\.path"/);
  }
});

test('sources that cannot be are refused before anything is made, and no image is pulled for them', async () => {
  const fifo = join(host, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const refused = async (volume: object, want: RegExp): Promise<void> => {
    const spec = {
      id: 'refused',
      containers: [
        { image: 'busybox', volumes: [{ path: '/x', volume: 'v', detail: { name: 'v', ...volume } }] },
      ],
    };
    const { code, stderr } = await daemon.hyperctl(['run', '-p', podFile('refused', spec)]);
    assert.deepEqual([code, want.test(stderr)], [1, true], stderr);
    assert.doesNotMatch(stderr, /[Pp]ull/);
  };
  await refused({ source: join(host, 'none'), format: 'vfs' }, /source ".*none" does not exist on the host/);
  await refused({ source: 'relative', format: 'vfs' }, /not an absolute path/);
  await refused({ source: fifo, format: 'vfs' }, /neither a directory nor a regular file/);
  await refused({ source: '/dev/null', format: 'raw' }, /neither a directory nor a regular file/);
  await refused({ source: '/srv' }, /without a format/);
  await refused({ source: '/srv', format: 'nas' }, /"nas" is not supported/);
  await refused({ source: '../x', format: 'volume' }, /name volume "\.\.\/x"/);
  await refused({ source: 'v'.repeat(256), format: 'volume' }, /at most 255 bytes/);
  await refused({ format: 'tmpfs', option: { size: 'much' } }, /"volume v: option\.size" is "much"/);
  assert.doesNotMatch((await daemon.hyperctl(['list'])).stdout, /refused/);
});

test('a named volume is shared by pods at once, outlives them, and is removed only when nobody uses it', async () => {
  const name = 'Däten von früher';
  for (const id of ['one', 'two']) {
    const script = `echo ${id} > /data/${id}; sleep 1000`;
    const { code, stderr } = await daemon.hyperctl([
      'run',
      '-d',
      '--name',
      id,
      '-v',
      `${name}:/data`,
      'busybox',
      'sh',
      '-c',
      script,
    ]);
    assert.equal(code, 0, stderr + daemon.log());
  }
  await eventually('each pod sees what the other one wrote', async () => {
    const seen = await daemon.hyperctl(['exec', 'one', 'cat', '/data/two']);
    return (
      seen.stdout === 'two\n' &&
      (await daemon.hyperctl(['exec', 'two', 'cat', '/data/one'])).stdout === 'one\n'
    );
  });
  const inUse = await daemon.hyperctl(['volume', 'rm', name]);
  assert.match(inUse.stderr, /in use by pod one, two/);
  await daemon.hyperctl(['rm', 'one', 'two']);
  assert.equal((await run('-v', `${name}:/data:ro`, 'busybox', 'cat', '/data/one')).stdout, 'one\n');
  const [info] = JSON.parse((await daemon.hyperctl(['volume', 'inspect', name])).stdout);
  assert.deepEqual([info.name, info.usedBy, existsSync(join(info.mountpoint, 'two'))], [name, [], true]);
  assert.equal((await daemon.hyperctl(['volume', 'create', '--label', 'a=b', 'kept', name])).code, 1);
  await daemon.hyperctl(['create', '--name', 'user', '-v', 'kept:/k', 'busybox']);
  const pruned = await daemon.hyperctl(['volume', 'prune']);
  assert.match(pruned.stdout, new RegExp(`^${name}\nTotal reclaimed space: [1-9]`));
  assert.equal((await daemon.hyperctl(['volume', 'ls', '-q'])).stdout, 'kept\n');
  await daemon.hyperctl(['rm', 'user']);
  assert.equal((await daemon.hyperctl(['volume', 'rm', 'kept'])).stdout, 'kept\n');
  assert.deepEqual(readdirSync(join(daemon.root, 'volumes')), []);
});

test('volumes of the image are filled with its content, owners and modes; so is an empty named one, once', async () => {
  const archive = join(host, 'image.tar');
  const layer: LayerEntry[] = [
    { name: 'srv', type: 'directory', mode: 0o750, uid: 5, gid: 6 },
    { name: 'srv/sub', type: 'directory' },
    { name: 'srv/sub/file', type: 'file', mode: 0o640, uid: 7, gid: 8, data: 'of the image\n' },
    { name: 'srv/link', type: 'symlink', linkName: 'sub/file' },
  ];
  const config = { Volumes: { '/srv': {}, '/new/place': {} } };
  writeFileSync(archive, layoutArchive({ layers: [busyboxLayer(), layer], config, ref: 'volumes:1' }));
  assert.equal((await daemon.hyperctl(['load', '-i', archive])).code, 0);
  const look =
    'stat -c "%n %a %u %g" /srv /srv/sub/file; cat /srv/link; stat -c %a /new/place; busybox cut -d" " -f2 /proc/mounts | grep -E "^/(srv|new)"';
  const seen = '/srv 750 5 6\n/srv/sub/file 640 7 8\nof the image\n';
  const image = await run('volumes:1', 'sh', '-c', look);
  assert.equal(image.stdout, `${seen}755\n/srv\n/new/place\n`, image.stderr + daemon.log());
  const named = await run(
    '-v',
    'filled:/srv',
    'volumes:1',
    'sh',
    '-c',
    `${look}; busybox rm /srv/link; echo more > /srv/more`,
  );
  assert.equal(named.stdout, `${seen}755\n/srv\n/new/place\n`, named.stderr + daemon.log());
  assert.equal((await run('-v', 'filled:/srv', 'volumes:1', 'ls', '/srv')).stdout, 'more\nsub\n');
});

test('what is in an empty volume of the pod is there for its other containers and after a restart of it', async () => {
  const spec = {
    id: 'empty',
    volumes: [{ name: 'a volume/of the pod' }, { name: 'memory', format: 'tmpfs', option: { size: '1m' } }],
    containers: ['w', 'r'].map((name) => ({
      name: `empty-${name}`,
      image: 'busybox',
      command: ['sh', '-c', 'while :; do sleep 1; done'],
      volumes: [
        { path: '/shared', volume: 'a volume/of the pod', readOnly: name === 'r' },
        { path: '/memory', volume: 'memory' },
      ],
    })),
  };
  assert.equal((await daemon.hyperctl(['run', '-p', podFile('empty', spec)])).code, 0, daemon.log());
  await daemon.hyperctl([
    'exec',
    'empty-w',
    'sh',
    '-c',
    'echo kept > /shared/f; echo gone > /memory/f; dd if=/dev/zero of=/memory/big bs=1M count=3',
  ]);
  assert.equal(
    (await daemon.hyperctl(['exec', 'empty-r', 'cat', '/shared/f', '/memory/f'])).stdout,
    'kept\ngone\n',
  );
  assert.match(
    (await daemon.hyperctl(['exec', 'empty-r', 'sh', '-c', 'ls -l /memory/big; touch /shared/x'])).stdout,
    /1044480|104\d{4}/,
  );
  await daemon.hyperctl(['stop', 'empty']);
  await daemon.hyperctl(['start', 'empty']);
  const again = await daemon.hyperctl(['exec', 'empty-r', 'sh', '-c', 'cat /shared/f; ls /memory /shared']);
  assert.equal(again.stdout, 'kept\n/memory:\n\n/shared:\nf\n');
  await daemon.hyperctl(['rm', 'empty']);
});

test('disk images are mounted, written to by one pod at a time, and cannot name other files of the host', async () => {
  const raw = join(host, 'disk.raw');
  const qcow2 = join(host, 'disk.qcow2');
  const tree = directory('tree', { f: 'on the disk\n' });
  execFileSync('truncate', ['-s', '16M', raw]);
  execFileSync('mkfs.ext4', ['-q', '-d', tree, raw], {
    env: { ...process.env, PATH: `${process.env.PATH}:/sbin:/usr/sbin` },
  });
  execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw, qcow2]);
  const disk = (source: string, format: string, more: object = {}) => ({
    name: 'd',
    source,
    format,
    ...more,
  });
  const pod = (id: string, volume: object, readOnly: boolean, script: string) =>
    podFile(id, {
      id,
      volumes: [volume],
      containers: [
        {
          name: `${id}-c`,
          image: 'busybox',
          command: ['sh', '-c', script],
          volumes: [{ path: '/d', volume: 'd', readOnly }],
        },
      ],
    });
  for (const [source, format] of [
    [raw, 'raw'],
    [qcow2, 'qcow2'],
  ] as const) {
    const file = pod(
      `w-${format}`,
      disk(source, format, { cache: 'writethrough' }),
      false,
      'cat /d/f; echo more > /d/g; sleep 1000',
    );
    assert.equal((await daemon.hyperctl(['run', '-p', file])).code, 0, daemon.log());
    const second = await daemon.hyperctl(['run', '-p', pod('second', disk(source, format), false, 'true')]);
    assert.match(second.stderr, new RegExp(`pod "w-${format}" writes to it`));
    await daemon.hyperctl(['rm', 'second']);
    await daemon.hyperctl(['stop', `w-${format}`]);
    assert.equal((await daemon.hyperctl(['logs', `w-${format}-c`])).stdout, 'on the disk\n');
    await daemon.hyperctl(['rm', `w-${format}`]);
    // Removed at its end, and while it runs: the guest gets to write what it has kept back.
    const ends = pod('ends', disk(source, format), false, 'echo ended > /d/i');
    await daemon.hyperctl(['run', '-a', '--rm', '-p', ends]);
    const runs = pod('runs', disk(source, format), false, 'echo ran > /d/j; echo ready; sleep 1000');
    await daemon.hyperctl(['run', '-p', runs]);
    await eventually('written', async () => (await daemon.hyperctl(['logs', 'runs-c'])).stdout === 'ready\n');
    await daemon.hyperctl(['rm', 'runs']);
    const reading = await daemon.hyperctl([
      'run',
      '-a',
      '-p',
      pod('r', disk(source, format, { fstype: 'ext4' }), true, 'cat /d/g /d/i /d/j; touch /d/h'),
    ]);
    assert.equal(reading.stdout, 'more\nended\nran\n', reading.stderr);
    assert.match(reading.stderr, /Read-only file system/);
    await daemon.hyperctl(['rm', 'r']);
  }
  const refused = async (source: string, format: string, want: RegExp): Promise<void> => {
    const { stderr } = await daemon.hyperctl(['run', '-p', pod('no', disk(source, format), false, 'true')]);
    assert.match(stderr, want);
    await daemon.hyperctl(['rm', 'no']);
  };
  const backed = join(host, 'backed.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', '/etc/passwd', '-F', 'raw', backed]);
  await refused(backed, 'qcow2', /based on another image/);
  const external = join(host, 'external.qcow2');
  execFileSync('qemu-img', [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-o',
    `data_file=${join(host, 'data')}`,
    external,
    '1M',
  ]);
  await refused(external, 'qcow2', /keeps its data in another file/);
  await refused(qcow2, 'raw', /is a qcow2 image/);
  execFileSync('truncate', ['-s', '1M', join(host, 'blank')]);
  await refused(join(host, 'blank'), 'raw', /mount disk/);
});

test('a pod whose file server is killed fails and says why', async () => {
  const source = directory('killed');
  assert.equal(
    (
      await daemon.hyperctl([
        'run',
        '-d',
        '--name',
        'served',
        '-v',
        `${source}:/data`,
        'busybox',
        'sleep',
        '1000',
      ])
    ).code,
    0,
  );
  for (const pid of fileServers()) process.kill(pid, 'SIGKILL');
  await eventually('the pod has failed', async () =>
    / failed/.test((await daemon.hyperctl(['list'])).stdout),
  );
  const [info] = JSON.parse((await daemon.hyperctl(['inspect', 'served'])).stdout);
  assert.match(info.status.message ?? info.status.reason, /file server .* has ended/);
  await daemon.hyperctl(['rm', 'served']);
  assert.deepEqual([daemon.machinePids(), fileServers()], [[], []]);
});

test('a pod with volumes goes on over kill -9 of the daemon, gets more volumes, and leaves nothing', async () => {
  const source = directory('survives', { f: 'first\n' });
  const later = directory('later', { f: 'second\n' });
  const args = [
    'run',
    '-d',
    '--name',
    'survivor',
    '-v',
    `${source}:/data`,
    'busybox',
    'sh',
    '-c',
    'while :; do date +%s%N > /data/now; sleep 0.1; done',
  ];
  assert.equal((await daemon.hyperctl(args)).code, 0);
  const now = (): string =>
    existsSync(join(source, 'now')) ? readFileSync(join(source, 'now'), 'utf8') : '';
  await eventually('the pod writes', () => now() !== '');
  await daemon.kill();
  const then = now();
  await eventually('the pod writes on', () => now() !== '' && now() !== then);
  await daemon.restart();
  assert.equal((await daemon.hyperctl(['exec', 'survivor', 'cat', '/data/f'])).stdout, 'first\n');
  const more = [
    'create',
    '-c',
    '--name',
    'more',
    '-v',
    `${later}:/later`,
    '-v',
    `${source}:/again`,
    'survivor',
    'busybox',
    'cat',
    '/later/f',
    '/again/f',
  ];
  assert.equal((await daemon.hyperctl(more)).code, 0, daemon.log());
  assert.equal((await daemon.hyperctl(['start', '-c', 'more'])).code, 0, daemon.log());
  assert.equal((await daemon.hyperctl(['wait', 'more'])).stdout, '0\n');
  assert.equal((await daemon.hyperctl(['logs', 'more'])).stdout, 'second\nfirst\n');
  assert.equal(fileServers().length > 0, true);
  await daemon.kill();
  for (const pid of fileServers()) process.kill(pid, 'SIGKILL');
  await daemon.restart();
  await eventually('the pod has failed', async () =>
    /survivor .*failed/.test((await daemon.hyperctl(['list'])).stdout),
  );
  await daemon.hyperctl(['rm', 'survivor']);
  assert.deepEqual([daemon.machinePids(), fileServers()], [[], []]);
});

test('a directory of more files than the host may have open at once lists whole', async () => {
  execFileSync('prlimit', ['--pid', String(daemon.process.pid), '--nofile=4000:4000']); // file servers inherit it
  const source = directory('many');
  for (let i = 0; i < 5_000; i++) writeFileSync(join(source, `file-${i}`), '');
  const script = 'ls -l /data | grep -c file-; rm -r /data/file-1*; ls /data | wc -l';
  const { stdout, stderr } = await run('-v', `${source}:/data`, 'busybox', 'sh', '-c', script);
  assert.equal(stdout, '5000\n3889\n', stderr + daemon.log());
});
