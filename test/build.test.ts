// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles have them
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { eventually } from './support/daemon.ts';
import { type LayerEntry, layerTar } from './support/images.ts';
import { type RestReply, rest } from './support/rest.ts';
import { sharedDaemon, sharedDirectory } from './support/shared.ts';

const daemon = sharedDaemon();
const scratch = sharedDirectory('build-');

/** A directory of these files; a name that ends in a slash is a directory, a text that begins with `->` a link. */
function contextOf(files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(scratch, 'context-'));
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory, name);
    mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
    if (text.startsWith('->')) symlinkSync(text.slice(2), path);
    else if (!name.endsWith('/')) writeFileSync(path, text);
  }
  return directory;
}

async function build(files: Readonly<Record<string, string>>, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.hyperctl(['build', ...args, contextOf(files)]);
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

async function refused(files: Readonly<Record<string, string>>, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.hyperctl(['build', ...args, contextOf(files)]);
  assert.equal(code, 1, stdout);
  return stdout + stderr;
}

/** Directories of the machines that there are. */
function machines(): string[] {
  return readdirSync(join(daemon.root, 'machines'));
}

interface Look {
  readonly layers: string[][];
  readonly config: Record<string, unknown>;
  readonly history: { created_by: string; empty_layer?: boolean; created: string }[];
  readonly all: string;
}

/** What an image's archive has: the listing of each layer, and the configuration. */
async function look(image: string): Promise<Look> {
  const archive = join(scratch, 'saved.tar');
  const { code, stderr } = await daemon.hyperctl(['save', '-o', archive, image]);
  assert.equal(code, 0, stderr);
  const read = (name: string): Buffer => execFileSync('tar', ['-xOf', archive, name], { maxBuffer: 1 << 28 });
  const [manifest] = JSON.parse(read('manifest.json').toString()) as [{ Config: string; Layers: string[] }];
  const all = read(manifest.Config).toString();
  const { config, history } = JSON.parse(all) as Look;
  const layers = manifest.Layers.map((name) =>
    execFileSync('tar', ['-tvz', '--numeric-owner'], { input: read(name), encoding: 'utf8' })
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(/^(\S+) +(\S+) +\d+ +\S+ +\S+ /, '$1 $2 ')),
  );
  return { layers, config, history, all };
}

const stepsFrom = (image: string, ...lines: string[]): string => [`FROM ${image}`, ...lines].join('\n');
const run = (image: string): Promise<string> =>
  daemon.hyperctl(['run', '--rm', image]).then(({ stdout }) => stdout);

test('files are copied without a machine: names, links, owners, modes, and what .dockerignore leaves out', async () => {
  const dockerfile = stepsFrom(
    'busybox',
    'WORKDIR /w',
    'COPY --chown=5:6 --chmod=u=rwx,go= a d/ ./',
    'COPY --exclude=*.log --link . /all/',
    'ADD t.tar.gz /t/',
    'COPY <<one <<"two" /h/',
    '$HOME-${NONE:-x}',
    'one',
    '$HOME',
    'two',
    'CMD ["cat", "/h/one", "/h/two", "/t/f"]',
  );
  const directory = contextOf({
    Dockerfile: dockerfile,
    ...{
      a: 'a\n',
      'd/b': 'b\n',
      'd/l': '->b',
      'x.log': 'no',
      'keep/y': 'y\n',
      'not/me': 'no',
      '.dockerignore': 'not\nt.tar.gz\n!t.tar.gz\n',
    },
  });
  const archive = layerTar([{ name: 'f', type: 'file', data: 'packed\n', uid: 9, gid: 8 }]);
  writeFileSync(join(directory, 't.tar.gz'), execFileSync('gzip', ['-c'], { input: archive }));
  const { code, stderr } = await daemon.hyperctl(['build', '-t', 'copied', directory]);
  assert.equal(code, 0, stderr);
  const { layers, history } = await look('copied');
  assert.deepEqual(layers.slice(1), [
    ['drwxr-xr-x 0/0 w/'],
    ['drwxr-xr-x 0/0 w/', '-rwx------ 5/6 w/a', '-rwx------ 5/6 w/b', 'lrwxrwxrwx 5/6 w/l -> b'],
    [
      ...[
        'drwxr-xr-x 0/0 all/',
        '-rw-r--r-- 0/0 all/.dockerignore',
        '-rw-r--r-- 0/0 all/Dockerfile',
        '-rw-r--r-- 0/0 all/a',
      ],
      ...[
        'drwxr-xr-x 0/0 all/d/',
        '-rw-r--r-- 0/0 all/d/b',
        'lrwxrwxrwx 0/0 all/d/l -> b',
        'drwxr-xr-x 0/0 all/keep/',
      ],
      ...['-rw-r--r-- 0/0 all/keep/y', '-rw-r--r-- 0/0 all/t.tar.gz'],
    ],
    ['drwxr-xr-x 0/0 t/', '-rw-r--r-- 9/8 t/f'],
    ['drwxr-xr-x 0/0 h/', '-rw-r--r-- 0/0 h/one', '-rw-r--r-- 0/0 h/two'],
  ]);
  assert.equal(history.at(-1)?.created_by, 'CMD ["cat" "/h/one" "/h/two" "/t/f"]');
  assert.equal(machines().length, 0);
  assert.equal(await run('copied'), '-x\n$HOME\npacked\n');
});

const commands = stepsFrom(
  'busybox AS one',
  'ARG V=5',
  'ENV A=b$V',
  'RUN echo made > /made && rm -r /home && ls / > /dev/null',
  'COPY f /over/f',
  'RUN cat /over/f /made && rm /over/f',
  'RUN --mount=type=bind,source=f,target=/m/f --mount=type=tmpfs,target=/tm cat /m/f && touch /tm/x && ! touch /m/f',
  'RUN --mount=type=cache,target=/cache echo again >> /cache/n; wc -l < /cache/n',
  'RUN --mount=type=secret,id=s cp /run/secrets/s /dev/shm/s && wc -c < /dev/shm/s',
  'RUN --network=none ls /sys/class/net',
  'RUN <<EOF',
  'echo "from a heredoc: $A"',
  'EOF',
  'FROM busybox AS unused',
  'RUN exit 1',
  'FROM busybox',
  'COPY --from=one --chown=1 /made /taken',
  'USER 3:4',
  'RUN id -u; id -g; ls -ln /taken; ls -A /',
  'CMD ["cat", "/taken"]',
);

test('commands run in machines, each over what came before; mounts and secrets leave nothing; a rebuild runs nothing', async () => {
  const secret = join(scratch, 'secret');
  writeFileSync(secret, 'very-secret');
  const args = ['-t', 'ran', '--build-arg', 'V=7', '--secret', `id=s,src=${secret}`];
  const files = { Dockerfile: commands, f: 'of the context\n' };
  const said = await build(files, ...args);
  assert.match(said, /of the context\nmade\n/);
  assert.match(said, /\n1\n ---> /);
  assert.match(said, /\n11\n ---> /);
  assert.match(said, /ls \/sys\/class\/net\nlo\n ---> /);
  assert.match(said, /from a heredoc: b7\n/);
  assert.match(
    said,
    /\n3\n4\n-rw-r--r-- +1 1 +1 +5 .*\/taken\nbin\ndev\netc\nhome\nproc\nroot\nsys\ntaken\ntmp\nusr\nvar\n/,
  );
  assert.equal(await run('ran'), 'made\n');
  const { all } = await look('ran');
  assert.doesNotMatch(all, /very-secret/);
  assert.doesNotMatch(said + daemon.log(), /very-secret/);
  const { stdout: ids } = await daemon.hyperctl([
    'build',
    '-q',
    '--target',
    'one',
    ...args.slice(2),
    contextOf(files),
  ]);
  const { layers } = await look(ids.trim());
  assert.deepEqual(
    layers.slice(1).map((layer) => layer.map((line) => line.split(' ').slice(2).join(' '))),
    [
      ['.wh.home', 'made'],
      ['over/', 'over/f'],
      ['over/', 'over/.wh.f'],
    ],
  );
  const again = await build(files, ...args);
  assert.equal(again.match(/Using cache/g)?.length, 10);
  assert.equal(/built (\w+)/.exec(again)?.[1], /built (\w+)/.exec(said)?.[1]);
});

test('what a cached step has deleted stays deleted for a new one that runs over it', async () => {
  const lines = [
    'RUN mkdir /d && touch /d/old',
    'RUN rm -r /home /bin/vi /d && mkdir /d && touch /d/new',
    'COPY f /f',
  ];
  await build({ Dockerfile: stepsFrom('busybox', ...lines), f: '' });
  const next = 'RUN ls -A /d; ! ls /home && ! ls /bin/vi';
  const said = await build({ Dockerfile: stepsFrom('busybox', ...lines, next), f: '' });
  assert.equal(said.match(/Using cache/g)?.length, 3);
  assert.match(said, /ls \/bin\/vi\nnew\nls: \/home: No such file/);
});

test('a step that fails tells its command, exit code and last output, and leaves no machine; its state can be kept', async () => {
  const dockerfile = stepsFrom('busybox', 'RUN echo left > /left; echo the end >&2; exit 42');
  const said = await refused({ Dockerfile: dockerfile }, '--keep');
  assert.match(
    said,
    /The command '\/bin\/sh -c echo left .*' returned a non-zero code: 42; its last output was:\nthe end/,
  );
  assert.equal(machines().length, 0);
  const [, id = ''] = /has left is image sha256:([0-9a-f]+)/.exec(said) ?? [];
  const { stdout } = await daemon.hyperctl(['run', '--rm', id, 'cat', '/left']);
  assert.equal(stdout, 'left\n');
});

test('with SOURCE_DATE_EPOCH the same files and commands give the same image', async () => {
  const dockerfile = stepsFrom(
    'busybox',
    'COPY f /x/f',
    'RUN mkdir /y && echo 1 > /y/a && echo 2 > /y/b && ln /y/a /y/c',
  );
  const args = ['-q', '--no-cache', '--build-arg', 'SOURCE_DATE_EPOCH=1000000000'];
  const first = await build({ Dockerfile: dockerfile, f: 'f' }, ...args);
  assert.equal(await build({ Dockerfile: dockerfile, f: 'f' }, ...args), first);
  const { history } = await look(first.trim());
  assert.equal(history.at(-1)?.created, '2001-09-09T01:46:40.000Z');
});

test('a step that never ends is ended, one that writes without end is clipped', async () => {
  const endless = await refused(
    { Dockerfile: stepsFrom('busybox', 'RUN echo begun; sleep 1000') },
    '--timeout',
    '3',
  );
  assert.match(endless, /did not end within 3 s; its last output was:\nbegun/);
  const said = await build({ Dockerfile: stepsFrom('busybox', 'RUN yes | head -c 5000000') });
  assert.match(said, /output clipped, log limit 2MiB/);
  assert.ok(said.length < 3_000_000);
});

const wrong: readonly (readonly [string, Readonly<Record<string, string>>, readonly string[], RegExp])[] = [
  ['an unknown instruction', { Dockerfile: 'FROM busybox\nFOO' }, [], /line 2: unknown instruction: "FOO"/],
  ['no Dockerfile', { x: '' }, [], /Cannot locate specified Dockerfile: Dockerfile/],
  ['a source that is not there', { Dockerfile: 'FROM busybox\nCOPY none /' }, [], /"none": not found/],
  [
    'a source outside of the context',
    { Dockerfile: 'FROM busybox\nCOPY ../../etc/passwd /' },
    [],
    /not found/,
  ],
  [
    'a link out of the context',
    { Dockerfile: 'FROM busybox\nCOPY l /', l: '->/etc/passwd' },
    [],
    /not found/,
  ],
  [
    'a user that the image does not have',
    { Dockerfile: 'FROM busybox\nCOPY --chown=nope f /', f: '' },
    [],
    /line 2: find user "nope"/,
  ],
  [
    'a stage that comes later',
    { Dockerfile: 'FROM busybox\nCOPY --from=1 / /\nFROM busybox' },
    ['--target', '0'],
    /line 2: invalid from flag/,
  ],
  [
    'a target that there is not',
    { Dockerfile: 'FROM busybox' },
    ['--target', 'x'],
    /target stage "x" could not be found/,
  ],
  ['a name that is none', { Dockerfile: 'FROM busybox' }, ['-t', 'UPPER'], /invalid reference format/],
  [
    'a directory in the way',
    { Dockerfile: 'FROM busybox\nCOPY f /bin/sh/x', f: '' },
    [],
    /line 2: create directory "\/bin\/.*": a file is in the way/,
  ],
  ['a registry that does not answer', { Dockerfile: 'FROM localhost:1/x' }, [], /localhost:1/],
];
for (const [what, files, args, message] of wrong) {
  test(`a build with ${what} is refused`, async () => assert.match(await refused(files, ...args), message));
}

const post = (path: string, body: Buffer): Promise<RestReply> =>
  rest(daemon.socket, `POST ${path}`, { body });

const file = (name: string, data: string): LayerEntry => ({ name, type: 'file', data });
const hostile: readonly (readonly [string, readonly LayerEntry[], RegExp])[] = [
  ['a name that leads out', [file('../../x', '')], /leads out/],
  ['a device', [{ name: 'dev', type: 'character', deviceMajor: 1, deviceMinor: 3 }], /is a device/],
  ['a hard link to nothing', [{ name: 'l', type: 'link', linkName: 'none' }], /leads to "none"/],
  ['a directory below a file', [file('a', ''), file('a/b', '')], /no directory/],
];
for (const [what, entries, message] of hostile) {
  test(`a context with ${what} is refused`, async () => {
    const { status, body } = await post(
      '/image/build',
      layerTar([file('Dockerfile', 'FROM busybox'), ...entries]),
    );
    assert.equal(status, 400, body);
    assert.match(body, message);
  });
}

test('contexts come in every compression, under every spelling of a name, and tell progress as Docker does', async () => {
  const tar = layerTar([file('./Dockerfile', 'FROM scratch\nCOPY Dockerfile /\nLABEL a=b')]);
  for (const [program, args] of [
    ['cat', []],
    ['gzip', ['-c']],
    ['bzip2', ['-c']],
    ['xz', ['-c']],
    ['zstd', ['-c']],
  ] as const) {
    const context = execFileSync(program, args, { input: tar });
    const labels = encodeURIComponent('{"c":"d"}');
    const { body } = await post(
      `/v0.7.0/image/build?t=n1&name=n2:x&labels=${labels}&memory=0&ulimits=null`,
      context,
    );
    const messages = body
      .trimEnd()
      .split('\r\n')
      .map((line) => JSON.parse(line) as { stream?: string; aux?: { ID: string } });
    assert.deepEqual(messages[0], { stream: 'Step 1/3 : FROM scratch\n' });
    assert.match(messages.find(({ aux }) => aux)?.aux?.ID ?? '', /^sha256:/);
    assert.deepEqual(messages.slice(-2), [
      { stream: 'Successfully tagged n1:latest\n' },
      { stream: 'Successfully tagged n2:x\n' },
    ]);
  }
  assert.deepEqual((await look('n1')).config.Labels, { a: 'b', c: 'd' });
});

test('a Dockerfile on stdin and one outside of the context are read; triggers of a base image run', async () => {
  await daemon.hyperctl(['build', '-t', 'base', '-'], { input: 'FROM busybox\nONBUILD COPY f /triggered\n' });
  const outside = join(scratch, 'Outside');
  writeFileSync(outside, 'FROM base\nCMD ["cat", "/triggered"]');
  const said = await build({ f: 'pulled\n' }, '-f', outside, '-t', 'triggered');
  assert.match(said, /Executing 1 build trigger\n/);
  assert.equal(await run('triggered'), 'pulled\n');
});

test('a client that goes away, and a daemon that is killed, leave neither machines nor files of a build', async () => {
  const path = contextOf({ Dockerfile: stepsFrom('busybox', 'RUN echo begun; sleep 1000') });
  const begin = async (): Promise<ReturnType<typeof daemon.spawnHyperctl>> => {
    const client = daemon.spawnHyperctl(['build', path]);
    let said = '';
    client.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually('the step runs', () => said.includes('begun\n'));
    return client;
  };
  const left = (): string[] => readdirSync(join(daemon.root, 'builds')).filter((name) => name !== 'caches');
  (await begin()).kill('SIGKILL');
  await eventually('the machine is gone', () => machines().length === 0 && left().length === 0);
  await begin();
  await daemon.kill();
  assert.equal(machines().length, 1);
  await daemon.restart();
  assert.deepEqual([machines().length, left().length], [0, 0]);
  const { stdout } = await daemon.hyperctl([
    'build',
    contextOf({ Dockerfile: commands, f: 'of the context\n' }),
    '--build-arg',
    'V=7',
  ]);
  assert.match(stdout, /Using cache/); // it outlives the daemon
});
