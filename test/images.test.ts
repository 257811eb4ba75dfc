import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { busyboxLayer, type LayerEntry, makeImage } from './support/images.ts';
import { startRegistry, type TestRegistry } from './support/registry.ts';
import { atStart, shared, sharedDaemon, sharedDirectory } from './support/shared.ts';

const daemon = sharedDaemon();
const directory = sharedDirectory('hyi-');
let registry: TestRegistry;
atStart(async () => {
  registry = shared(await startRegistry());
});

interface Made {
  readonly name: string;
  readonly layers: readonly (readonly LayerEntry[])[];
  readonly config?: Record<string, unknown>;
  readonly compression?: 'gzip' | 'zstd' | 'none';
}

/** Makes an image, pushes it with skopeo; resolves with its reference. */
function push({ name, ...image }: Made, format?: 'v2s2'): string {
  const layout = join(directory, name);
  makeImage(layout, image);
  const reference = `${registry.host}/${name}:1`;
  const options = ['--dest-tls-verify=false', ...(format ? [`--format=${format}`] : [])];
  execFileSync('skopeo', [
    'copy',
    '-q',
    '--insecure-policy',
    ...options,
    `oci:${layout}:latest`,
    `docker://${reference}`,
  ]);
  return reference;
}

async function run(reference: string, ...command: string[]) {
  return daemon.hyperctl(['run', '--rm', reference, ...command]);
}

const file = (name: string, data: string, more: Partial<LayerEntry> = {}): LayerEntry => ({
  name,
  type: 'file',
  data,
  ...more,
});

test('pull shows plain progress and the digest, and a second pull finds nothing to do', async () => {
  const reference = push({ name: 'plain', layers: [busyboxLayer()] });
  const first = await daemon.hyperctl(['pull', reference]);
  assert.equal(first.code, 0, first.stderr);
  assert.match(
    first.stdout,
    /Pulling fs layer[\s\S]*Pull complete[\s\S]*Digest: sha256:[0-9a-f]{64}\nStatus: Downloaded newer image/,
  );
  assert.match(
    (await daemon.hyperctl(['pull', reference])).stdout,
    /Already exists[\s\S]*Image is up to date/,
  );
  assert.match(
    (await daemon.hyperctl(['images'])).stdout,
    new RegExp(`^${registry.host}/plain\\s+1\\s+[0-9a-f]{12}`, 'm'),
  );
});

test('run pulls what is missing', async () => {
  const reference = push({ name: 'onrun', layers: [busyboxLayer()] });
  const result = await run(reference, 'echo', 'there');
  assert.equal(result.stdout.split('\n').at(-2), 'there', result.stderr);
});

for (const compression of ['zstd', 'none'] as const) {
  test(`layers with compression ${compression} run`, async () => {
    const reference = push({ name: `c-${compression}`, layers: [busyboxLayer()], compression });
    await daemon.hyperctl(['pull', reference]);
    assert.equal((await run(reference, 'echo', 'ok')).stdout, 'ok\n');
  });
}

test("Docker's schema 2 runs", async () => {
  const reference = push({ name: 'v2s2', layers: [busyboxLayer()] }, 'v2s2');
  await daemon.hyperctl(['pull', reference]);
  assert.equal((await run(reference, 'echo', 'ok')).stdout, 'ok\n');
});

test('layers are merged: whiteouts, opaque directories, hard links across layers, changed types', async () => {
  const reference = push({
    name: 'merge',
    layers: [
      [
        ...busyboxLayer(),
        ...['gone', 'kept'].map((name) => file(`a/${name}`, name)),
        ...['old', 'deep/older'].map((name) => file(`opaque/${name}`, name)),
        file('first', 'linked content'),
        file('was-file', 'x'),
        file('was-dir/inside', 'x'),
      ],
      [
        file('a/.wh.gone', ''),
        file('opaque/new', 'new'),
        file('opaque/.wh..wh..opq', ''),
        { name: 'second', type: 'link', linkName: 'first' },
        { name: 'was-file', type: 'directory' },
        { name: 'was-dir', type: 'symlink', linkName: 'a' },
      ],
      [file('.wh.first', '')],
    ],
  });
  await daemon.hyperctl(['pull', reference]);
  const script =
    'ls a opaque; cat second; echo; stat -c %F was-file was-dir; ls first 2>&1; readlink was-dir';
  const result = await run(reference, 'sh', '-c', script);
  assert.equal(
    result.stdout,
    'a:\nkept\n\nopaque:\nnew\nlinked content\ndirectory\nsymbolic link\nls: first: No such file or directory\na\n',
  );
});

test('modes, owners, times, devices, long and non-UTF-8 names survive', async () => {
  const long = `${'d'.repeat(90)}/${'e'.repeat(200)}`;
  const reference = push({
    name: 'attributes',
    layers: [
      [
        ...busyboxLayer(),
        file('suid', 'x', { mode: 0o4755, uid: 1000, gid: 2000, mtime: 1_000_000_000 }),
        { name: 'null', type: 'character', mode: 0o666, deviceMajor: 1, deviceMinor: 3 },
        { name: 'pipe', type: 'fifo', mode: 0o600 },
        file(long, 'long'),
        file('caf\u00e9', 'latin1'), // the byte E9 alone is no UTF-8
      ],
    ],
  });
  await daemon.hyperctl(['pull', reference]);
  const script = `stat -c '%a %u %g %Y' suid; stat -c '%F %t %T' null; stat -c %F pipe; cat ${long}; echo; echo caf* | od -An -tx1; echo x > null; echo $?`;
  const result = await run(reference, 'sh', '-c', script);
  assert.equal(
    result.stdout,
    '4755 1000 2000 1000000000\ncharacter special file 1 3\nfifo\nlong\n 63 61 66 e9 0a\n0\n',
    result.stderr,
  );
});

const passwd = [
  file('etc/passwd', 'root:x:0:0::/root:/bin/sh\napp:x:1234:1235::/home/app:/bin/sh\n'),
  file('etc/group', 'root:x:0:\napp:x:1235:\nextra:x:77:app\n'),
];
for (const [name, config, command, expected] of [
  [
    'user',
    { User: 'app' },
    ['sh', '-c', 'id -u; id -g; id -G; echo $HOME'],
    '1234\n1235\n1235 77\n/home/app\n',
  ],
  ['numbers', { User: '55:66' }, ['sh', '-c', 'id -u; id -g'], '55\n66\n'],
  ['entrypoint', { Entrypoint: ['echo', 'entry'], Cmd: null }, [], 'entry\n'],
  ['arguments', { Entrypoint: ['echo', 'entry'], Cmd: ['cmd'] }, [], 'entry cmd\n'],
  ['override', { Entrypoint: ['echo', 'entry'], Cmd: ['cmd'] }, ['mine'], 'entry mine\n'],
  ['command', { Cmd: ['echo', 'cmd'] }, [], 'cmd\n'],
  [
    'env',
    { Env: ['PATH=/bin', 'X=y z'], WorkingDir: '/some/where' },
    ['sh', '-c', 'echo $X; pwd'],
    'y z\n/some/where\n',
  ],
] as const) {
  test(`the image's configuration is honoured: ${name}`, async () => {
    const reference = push({ name: `config-${name}`, layers: [[...busyboxLayer(), ...passwd]], config });
    await daemon.hyperctl(['pull', reference]);
    const result = await run(reference, ...command);
    assert.equal(result.stdout, expected, result.stderr);
  });
}

test('an image that is not there, and a registry that is not, end in a clear error and a non-zero exit', async () => {
  const missing = await daemon.hyperctl(['pull', `${registry.host}/nope:1`]);
  assert.notEqual(missing.code, 0);
  assert.match(missing.stdout + missing.stderr, /nope.*not found/);
  const nobody = await daemon.hyperctl(['pull', 'localhost:1/nope:1']);
  assert.notEqual(nobody.code, 0);
  assert.match(nobody.stdout + nobody.stderr, /ECONNREFUSED|refused/);
});

test('a blob that was changed in the registry is refused, naming it, and nothing of it stays', async () => {
  const reference = push({ name: 'damaged', layers: [[...busyboxLayer(), file('only-here', 'damaged')]] });
  const digest = registry.damageLargestBlob('damaged');
  const before_ = (await daemon.hyperctl(['images'])).stdout;
  const result = await daemon.hyperctl(['pull', reference]);
  assert.notEqual(result.code, 0);
  assert.match(result.stdout + result.stderr, new RegExp(`expected ${digest}, got sha256:`));
  assert.equal((await daemon.hyperctl(['images'])).stdout, before_);
});

for (const kind of ['docker-archive', 'oci-archive'] as const) {
  test(`load takes what skopeo writes as ${kind}`, async () => {
    const layout = join(directory, `load-${kind}`);
    makeImage(layout, { layers: [[...busyboxLayer(), file('mark', kind)]] });
    const archive = join(directory, `${kind}.tar`);
    const name = `loaded-${kind}:v1`;
    execFileSync('skopeo', [
      'copy',
      '-q',
      '--insecure-policy',
      `oci:${layout}:latest`,
      `${kind}:${archive}:${name}`,
    ]);
    const loaded = await daemon.hyperctl(['load', '-i', archive]);
    assert.equal(loaded.code, 0, loaded.stdout + loaded.stderr);
    assert.equal((await run(name, 'cat', 'mark')).stdout, kind);
  });
}

test('rmi removes names, then the image; one in use is refused', async () => {
  const reference = push({ name: 'removed', layers: [[...busyboxLayer(), file('r', 'r')]] });
  await daemon.hyperctl(['pull', reference]);
  await daemon.hyperctl(['run', '-d', '--name', 'user', reference, 'sleep', '1000']);
  const refused = await daemon.hyperctl(['rmi', reference]);
  assert.match(
    refused.stdout + refused.stderr,
    /conflict: unable to remove repository reference .* is using its referenced image/,
  );
  await daemon.hyperctl(['rm', 'user']);
  assert.match((await daemon.hyperctl(['rmi', reference])).stdout, /successful/);
  assert.doesNotMatch((await daemon.hyperctl(['images'])).stdout, /removed/);
});
