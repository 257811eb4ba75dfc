import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CommandResult, collect } from './support/daemon.ts';
import { atStart, sharedDaemon, sharedDirectory } from './support/shared.ts';

const daemon = sharedDaemon();
const here = sharedDirectory('cp-');
atStart(async () => {
  const file = join(here, 'pod.json');
  const containers = [
    { name: 'runs', image: 'busybox', command: ['sleep', '1000'] },
    { name: 'ended', image: 'busybox', command: ['sh', '-c', 'mkdir /made; echo kept > /made/file'] },
  ];
  writeFileSync(file, JSON.stringify({ id: 'pod', containers }));
  const { code, stderr } = await daemon.hyperctl(['run', '-p', file]);
  assert.equal(code, 0, stderr);
  await daemon.hyperctl(['wait', 'ended']);
  mkdirSync(join(here, 'tree/sub'), { recursive: true });
  writeFileSync(join(here, 'tree/a'), 'a\n', { mode: 0o640 });
  writeFileSync(join(here, 'tree/sub/large'), Buffer.alloc(3_000_000, 'large'));
  symlinkSync('sub/large', join(here, 'tree/link'));
  writeFileSync(join(here, 'file'), 'file\n');
  symlinkSync('file', join(here, 'to-file'));
});

async function cp(...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await daemon.hyperctl(['cp', ...args]);
  assert.deepEqual([code, stdout, stderr], [0, '', '']);
}

async function inside(script: string): Promise<string> {
  return (await daemon.hyperctl(['exec', 'runs', 'sh', '-c', script])).stdout;
}

test('files go in by the rules of docker cp, owned by root', async () => {
  await inside('mkdir -p /in/dir; echo old >/in/old; ln -s old /in/link; ln -s dir /in/dirlink');
  await cp(join(here, 'file'), 'runs:/in/new');
  await cp(join(here, 'file'), 'runs:/in/dir');
  await cp(join(here, 'file'), 'runs:/in/link');
  await cp(join(here, 'file'), 'runs:in/dirlink/second');
  await cp(join(here, 'to-file'), 'runs:/in/as-link');
  await cp('-L', join(here, 'to-file'), 'runs:/in/followed');
  assert.equal(
    await inside(
      'cd /in; cat new dir/file old dir/second followed; readlink link; readlink as-link; stat -c %u:%g new',
    ),
    'file\nfile\nfile\nfile\nfile\nold\nfile\n0:0\n',
  );
});

test('directories go in: into one that is there, as one that is not, or their contents only', async () => {
  await inside('mkdir /trees');
  await cp(join(here, 'tree'), 'runs:/trees');
  await cp(join(here, 'tree'), 'runs:/trees/other');
  await cp(`${here}/tree/.`, 'runs:/trees');
  const expected = ['a', 'link', 'sub/large'];
  for (const top of ['', 'tree/', 'other/'])
    assert.equal(
      await inside(`cd /trees/${top || '.'}; stat -c %a a; readlink link; wc -c <sub/large`),
      '640\nsub/large\n3000000\n',
      `${top}: ${expected}`,
    );
});

test('files and directories come out, from a container that has ended as well', async () => {
  const out = join(here, 'out');
  mkdirSync(out);
  await inside(
    'mkdir -p /t/sub; echo x >/t/f; chmod 600 /t/f; ln -s f /t/l; dd if=/dev/zero of=/t/sub/z bs=1M count=8 2>/dev/null',
  );
  await cp('runs:/t', out);
  await cp('runs:/t', join(out, 'renamed'));
  await cp('runs:/t/.', join(out, 'contents'));
  for (const top of ['t', 'renamed', 'contents']) {
    assert.equal(readFileSync(join(out, top, 'f'), 'utf8'), 'x\n');
    assert.equal(lstatSync(join(out, top, 'f')).mode & 0o777, 0o600);
    assert.equal(lstatSync(join(out, top, 'sub/z')).size, 8 << 20);
    assert.equal(readlinkSync(join(out, top, 'l')), 'f');
  }
  await cp('-L', 'runs:/t/l', join(out, 'followed'));
  assert.equal(readFileSync(join(out, 'followed'), 'utf8'), 'x\n');
  await cp('ended:/made/file', `${out}/`);
  await cp('ended:/made/file', join(out, 'file'));
  assert.equal(readFileSync(join(out, 'file'), 'utf8'), 'kept\n');
  await cp(join(here, 'file'), 'ended:/made/second');
  await cp('pod:/t/f', join(out, 'of-pod'));
  assert.equal(readFileSync(join(out, 'of-pod'), 'utf8'), 'x\n');
});

test('tars go through stdin and stdout', async () => {
  const tar = execFileSync('tar', ['-c', '-C', here, 'tree'], { maxBuffer: 1 << 26 });
  await inside('mkdir /tars');
  const sent = daemon.spawnHyperctl(['cp', '-', 'runs:/tars']);
  sent.stdin?.end(tar);
  const chunks: Buffer[] = [];
  const closed = new Promise((resolve) => sent.once('close', resolve));
  assert.equal(await closed, 0);
  const got = daemon.spawnHyperctl(['cp', 'runs:/tars/tree', '-']);
  got.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  assert.equal(await new Promise((resolve) => got.once('close', resolve)), 0);
  const names = execFileSync('tar', ['-t'], { input: Buffer.concat(chunks) })
    .toString()
    .trim()
    .split('\n');
  assert.deepEqual(names.sort(), ['tree/', 'tree/a', 'tree/link', 'tree/sub/', 'tree/sub/large']);
});

test('owners are kept with -a', { skip: process.getuid?.() !== 0 }, async () => {
  const path = join(here, 'owned');
  writeFileSync(path, 'x');
  execFileSync('chown', ['12:34', path]);
  await cp('-a', path, 'runs:/owned');
  assert.equal(await inside('stat -c %u:%g /owned'), '12:34\n');
  await cp('-a', 'runs:/owned', join(here, 'owned-again'));
  assert.deepEqual(
    [lstatSync(join(here, 'owned-again')).uid, lstatSync(join(here, 'owned-again')).gid],
    [12, 34],
  );
});

test('what a container makes of its files cannot lead out of the target', async () => {
  const target = join(here, 'guarded');
  mkdirSync(join(target, 'h'), { recursive: true });
  symlinkSync(here, join(target, 'h/way-out'));
  await inside('mkdir -p /h/way-out; echo bad >/h/way-out/file');
  const { code, stderr } = await daemon.hyperctl(['cp', 'runs:/h', target]);
  assert.equal(code, 1);
  assert.match(stderr, /symbolic link/);
  assert.equal(readFileSync(join(here, 'file'), 'utf8'), 'file\n');
});

const refused: readonly (readonly [string, () => readonly string[], RegExp])[] = [
  ['no container path', () => [join(here, 'file'), './other'], /want CONTAINER:PATH/],
  ['two containers', () => ['runs:/a', 'ended:/b'], /one of both has to be on this host/],
  ['an unknown container', () => ['nonesuch:/a', here], /nonesuch/],
  ['a source that is not there', () => [join(here, 'nonesuch'), 'runs:/'], /ENOENT|no such file/],
  ['a container path that is not there', () => ['runs:/nonesuch', here], /nonesuch.*No such file/],
  [
    'a target directory that is not there',
    () => [join(here, 'file'), 'runs:/no/such/file'],
    /there is no directory "\/no\/such"/,
  ],
  [
    'a target with a slash that is no directory',
    () => [join(here, 'file'), 'runs:/nonesuch/'],
    /no such directory/,
  ],
  ['a directory onto a file', () => [join(here, 'tree'), 'runs:/etc/passwd'], /that is a file/],
  ['a directory onto a file here', () => ['runs:/etc', join(here, 'file')], /that is a file/],
  [
    'a missing directory here',
    () => ['runs:/etc/passwd', join(here, 'no/such/file')],
    /there is no directory/,
  ],
  ['a slash here', () => ['runs:/etc/passwd', `${join(here, 'nonesuch')}/`], /no such directory/],
];
for (const [what, args, message] of refused) {
  test(`cp with ${what} is refused with the reason`, async () => {
    const result: CommandResult = await daemon.hyperctl(['cp', ...args()]);
    assert.equal(result.code, 1);
    assert.match(result.stderr, message);
  });
}

test('a tar that is none is refused, and a pod that does not run says so', async () => {
  const bad = await daemon.hyperctl(['cp', '-', 'runs:/tmp'], { input: 'no tar at all' });
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /archive|tar|cut off/);
  await daemon.hyperctl(['create', '--name', 'idle', 'busybox', 'true']);
  const idle = await daemon.hyperctl(['cp', 'idle:/etc/passwd', here]);
  assert.equal(idle.code, 1);
  assert.match(idle.stderr, /pod idle is not running/);
  assert.ok(!existsSync(join(here, 'passwd')));
  await daemon.hyperctl(['rm', 'idle']);
});

test('a copy that is broken off leaves nothing running', async () => {
  await inside('dd if=/dev/zero of=/big bs=1M count=40 2>/dev/null');
  const copying = daemon.spawnHyperctl(['cp', 'runs:/big', '-']);
  copying.stdout?.once('data', () => copying.kill('SIGKILL'));
  await collect(copying);
  const rows = (await daemon.hyperctl(['top', '--format', 'json', 'runs'])).stdout.trim().split('\n');
  assert.ok(rows.length <= 2, rows.join());
  assert.equal((await daemon.hyperctl(['cp', 'runs:/etc/passwd', join(here, 'still-works')])).code, 0);
});
