import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from './support/daemon.ts';
import { type RestReply, rest } from './support/rest.ts';
import { sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();

const post = (path: string, body: string): Promise<RestReply> =>
  rest(daemon.socket, `POST ${path}`, { body });

async function hyper(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.hyperctl(args);
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** The configuration of an image, as its archive has it. */
async function configOf(image: string): Promise<{
  config: Record<string, unknown>;
  history: { comment?: string; empty_layer?: boolean }[];
  rootfs: { diff_ids: string[] };
  author: string;
}> {
  const archive = join(daemon.root, 'saved.tar');
  execFileSync('curl', [
    ...['-sS', '--fail', '--unix-socket', daemon.socket, '-o', archive],
    `http://h/images/save?names=${encodeURIComponent(image)}`,
  ]);
  const read = (name: string): string => execFileSync('tar', ['-xOf', archive, name], { encoding: 'utf8' });
  const [{ Config: config }] = JSON.parse(read('manifest.json')) as [{ Config: string }];
  return JSON.parse(read(config));
}

test('an image of a container that is removed again leaves nothing, however quickly that comes', async () => {
  await hyper('run', '-d', '--name', 'again', 'busybox', 'sleep', '1000');
  const blobs = (): string[] => readdirSync(join(daemon.root, 'images/blobs/sha256')).sort();
  const before = blobs();
  for (let round = 0; round < 5; round++) {
    await hyper('commit', 'again', 'again:latest');
    await hyper('rmi', 'again:latest');
    assert.deepEqual(blobs(), before);
  }
  await hyper('rm', 'again');
});

test('a container that has ended becomes an image: what it made, changed and deleted is in a pod of it', async () => {
  const script = [
    'echo made > /made; chmod 4755 /made; ln /made /twice; ln -s made /link; mkfifo /fifo',
    'mkdir /d; echo x > /d/x; rm /bin/vi; rm -r /home; mkdir /home; echo new > /home/new; chown 7:8 /d',
  ].join('; ');
  await hyper('run', '--name', 'ended', 'busybox', 'sh', '-c', script);
  const id = await hyper('commit', '-m', 'a note', '-a', 'me', '-c', 'ENV A=b', 'ended', 'made:one');
  assert.match(id, /^sha256:[0-9a-f]{64}\n$/);
  const look = [
    'cat /made /d/x /home/new; stat -c "%a %h" /made; readlink /link; stat -c "%F %u:%g" /fifo /d',
    'ls /bin/vi; echo $A; ls -A / | sort | tr "\\n" " "',
  ].join('; ');
  const seen = await hyper('run', '--rm', 'made:one', 'sh', '-c', `(${look}) 2>&1`);
  assert.match(
    seen,
    /^made\nx\nnew\n4755 2\nmade\nfifo 0:0\ndirectory 7:8\nls: \/bin\/vi: No such file or directory\nb\n/,
  );
  const { config, history, rootfs, author } = await configOf('made:one');
  assert.equal(rootfs.diff_ids.length, 2);
  assert.deepEqual([config.Cmd, author], [['sh', '-c', script], 'me']);
  assert.equal(history.at(-1)?.comment, 'a note');
  assert.equal(daemon.machinePids().length, 0);
});

test('a running container becomes an image while it stands still, goes on, and its mounts leave nothing in it', async () => {
  await hyper('run', '-d', '--name', 'runs', 'busybox', 'sh', '-c', 'echo a > /a; while :; do sleep 1; done');
  await eventually(
    'the file is there',
    async () => (await daemon.hyperctl(['exec', 'runs', 'cat', '/a'])).code === 0,
  );
  const body = {
    User: '1:1',
    Cmd: ['cat', '/a'],
    Volumes: { '/tmp': {} },
    ExposedPorts: { '22/tcp': {} },
    Env: null,
  };
  const reply = await post(
    '/v0.7.0/container/commit?container=runs&comment=message&repo=myrepo&pause=yes&change=%5B%22LABEL%20x%3Dy%22%5D',
    JSON.stringify({ ...body, Hostname: '', Memory: 0, PortSpecs: null }),
  );
  assert.equal(reply.status, 200, reply.body);
  assert.match(reply.body, /^\{"Cause":"","Code":0,"ID":"sha256:[0-9a-f]{64}"\}\n$/);
  assert.equal(await hyper('run', '--rm', 'myrepo'), 'a\n');
  const { config } = await configOf('myrepo');
  assert.deepEqual(
    [config.User, config.Cmd, config.Labels, config.Volumes, config.ExposedPorts],
    ['1:1', ['cat', '/a'], { x: 'y' }, { '/tmp': {} }, { '22/tcp': {} }],
  );
  assert.equal(await hyper('exec', 'runs', 'echo', 'on'), 'on\n'); // it would hang, were it frozen
  await hyper('stop', '-c', 'runs');
});

test('a container that has changed nothing adds no layer', async () => {
  await hyper('run', '--name', 'idle', 'busybox', 'true');
  await hyper('commit', 'idle', 'same');
  const { rootfs, history } = await configOf('same');
  assert.equal(rootfs.diff_ids.length, 1);
  assert.equal(history.at(-1)?.empty_layer, true);
});

const refused: readonly (readonly [string, string, number, RegExp])[] = [
  ['container=nobody', '', 404, /No such container: nobody/],
  ['container=idle&repo=UPPER', '', 400, /UPPER/],
  ['container=idle&changes=FROM%20x', '', 400, /FROM x/],
  ['container=idle', '{"Cmd": 1}', 500, /Cmd/],
  ['container=idle', '{', 500, /JSON/],
];
for (const [query, body, status, message] of refused) {
  test(`commit with "${query}" and body "${body}" is answered with ${status}`, async () => {
    const answer = await post(`/container/commit?${query}`, body);
    assert.equal(answer.status, status, answer.body);
    assert.match(answer.body, message);
  });
}
