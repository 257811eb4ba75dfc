import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { type Header, pack } from 'tar-stream';
import { unpack } from './unpack.ts';

type Entry = Partial<Header> & { readonly name: string; readonly content?: string };

async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content = '', ...header } of entries) tar.entry({ ...header, size: content.length }, content);
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

/** A directory `in` to unpack into, with `outside/secret` beside it. */
function places(t: TestContext): { readonly directory: string; readonly outside: string } {
  const root = mkdtempSync(join(tmpdir(), 'unpack-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const [directory, outside] = [join(root, 'in'), join(root, 'outside')];
  mkdirSync(directory);
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'secret');
  return { directory, outside };
}

async function unpackTar(tar: Buffer, directory: string, rename?: string): Promise<string[]> {
  const warnings: string[] = [];
  await unpack(Readable.from([tar]), {
    ...{ directory, rename, archive: false },
    warn: (message) => warnings.push(message),
  });
  return warnings;
}

test('files, directories and links are made with their modes and times, and the top gets another name', async (t) => {
  const { directory } = places(t);
  const mtime = new Date(1_000_000_000_000);
  const tar = await tarOf([
    { name: 'd/', type: 'directory', mode: 0o500, mtime },
    { name: 'd/sub/', type: 'directory', mode: 0o755, mtime },
    { name: 'd/sub/file', mode: 0o4640, mtime, content: 'hello' },
    { name: 'd/hard', type: 'link', linkname: 'd/sub/file' },
    { name: 'd/soft', type: 'symlink', linkname: '/etc/passwd', mtime },
  ]);
  assert.deepEqual(await unpackTar(tar, directory, 'e'), []);
  const at = (...parts: string[]): string => join(directory, 'e', ...parts);
  assert.equal(readFileSync(at('sub/file'), 'utf8'), 'hello');
  assert.equal(lstatSync(at('sub/file')).mode & 0o7777, 0o640, 'set-user-id is not taken over');
  assert.equal(lstatSync(at('sub/file')).mtimeMs, mtime.getTime());
  assert.equal(lstatSync(at('hard')).ino, lstatSync(at('sub/file')).ino);
  assert.equal(readlinkSync(at('soft')), '/etc/passwd');
  assert.equal(lstatSync(at()).mode & 0o777, 0o500, 'a read-only directory is one in the end');
  assert.equal(lstatSync(at()).mtimeMs, mtime.getTime());
});

test('a file takes the place of a file or link, which is not written through', async (t) => {
  const { directory, outside } = places(t);
  writeFileSync(join(directory, 'file'), 'old');
  symlinkSync(join(outside, 'secret'), join(directory, 'link'));
  await unpackTar(
    await tarOf([
      { name: 'file', content: 'new' },
      { name: 'link', content: 'new' },
    ]),
    directory,
  );
  assert.equal(readFileSync(join(directory, 'file'), 'utf8'), 'new');
  assert.equal(readFileSync(join(directory, 'link'), 'utf8'), 'new');
  assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
});

const outsideLink = (outside: string): Entry => ({ name: 'l', type: 'symlink', linkname: outside });
const hostile: readonly (readonly [string, (outside: string) => readonly Entry[], RegExp])[] = [
  ['a name with ..', () => [{ name: '../outside/new', content: 'x' }], /leads out/],
  ['a name with .. further on', () => [{ name: 'a/../../outside/new', content: 'x' }], /leads out/],
  ['a file below its own link', (o) => [outsideLink(o), { name: 'l/new', content: 'x' }], /symbolic link/],
  [
    'a directory below its own link',
    (o) => [outsideLink(o), { name: 'l/new/', type: 'directory' }],
    /symbolic link/,
  ],
  [
    'a directory in place of its own link',
    (o) => [outsideLink(o), { name: 'l/', type: 'directory' }],
    /symbolic link/,
  ],
  [
    'a link in place of its directory',
    (o) => [{ name: 'l/', type: 'directory' }, { name: 'l/a', content: 'x' }, outsideLink(o)],
    /there is a directory/,
  ],
  [
    'a hard link through its own link',
    (o) => [outsideLink(o), { name: 'h', type: 'link', linkname: 'l/secret' }],
    /symbolic link/,
  ],
  [
    'a hard link to a link',
    (o) => [{ ...outsideLink(join(o, 'secret')) }, { name: 'h', type: 'link', linkname: 'l' }],
    /no file here/,
  ],
  ['a hard link out of it', () => [{ name: 'h', type: 'link', linkname: '../outside/secret' }], /leads out/],
  ['a file in place of the destination', () => [{ name: '.', content: 'x' }], /there is a directory/],
  [
    'a link in place of the destination',
    (o) => [{ name: './', type: 'symlink', linkname: o }],
    /there is a directory/,
  ],
];
for (const [what, entries, message] of hostile) {
  test(`an archive with ${what} is refused, and nothing is written outside`, async (t) => {
    const { directory, outside } = places(t);
    await assert.rejects(unpackTar(await tarOf(entries(outside)), directory), message);
    assert.deepEqual(readdirSync(outside), ['secret']);
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    assert.equal(lstatSync(join(outside, 'secret')).nlink, 1);
    assert.ok(lstatSync(directory).isDirectory());
  });
}

test('a link that an earlier copy has left is not followed', async (t) => {
  const { directory, outside } = places(t);
  await unpackTar(
    await tarOf([
      { name: 'd/', type: 'directory' },
      { name: 'd/l', type: 'symlink', linkname: outside },
    ]),
    directory,
  );
  const second = await tarOf([
    { name: 'd/', type: 'directory' },
    { name: 'd/l/new', content: 'x' },
  ]);
  await assert.rejects(unpackTar(second, directory), /symbolic link/);
  assert.deepEqual(readdirSync(outside), ['secret']);
});

test('absolute names stay in the destination', async (t) => {
  const { directory } = places(t);
  await unpackTar(await tarOf([{ name: '/etc/new-file-of-a-test', content: 'x' }]), directory);
  assert.ok(existsSync(join(directory, 'etc/new-file-of-a-test')) && !existsSync('/etc/new-file-of-a-test'));
});

test('devices and pipes are left out and told', async (t) => {
  const { directory } = places(t);
  const warnings = await unpackTar(
    await tarOf([
      { name: 'null', type: 'character-device', devmajor: 1, devminor: 3 },
      { name: 'pipe', type: 'fifo' },
      { name: 'after', content: 'x' },
    ]),
    directory,
  );
  assert.deepEqual(readdirSync(directory), ['after']);
  assert.equal(warnings.length, 2);
});

test('an archive that is cut off, is none, or says that it has a header of gigabytes is an error', async (t) => {
  const { directory } = places(t);
  const whole = await tarOf([{ name: 'a', content: 'x'.repeat(2000) }]);
  await assert.rejects(unpackTar(whole.subarray(0, 1500), directory), /end of data/i);
  await assert.rejects(unpackTar(Buffer.alloc(1024, 'x'), directory), /tar header/i);
  const header = Buffer.from(whole.subarray(0, 512));
  header.write('x', 156);
  header.write('77777777777\0', 124);
  header.write('        ', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  await assert.rejects(unpackTar(Buffer.concat([header, Buffer.alloc(4096)]), directory), /exceeds max size/);
});
