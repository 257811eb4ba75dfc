import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ErrorCode, isHyperError } from '../errors.ts';
import { Events } from '../events/index.ts';
import { openState } from '../state/database.ts';
import { checkDiskImage, DiskLeases } from './disk-images.ts';
import { HostPaths } from './host-paths.ts';
import { NamedVolumes } from './named-volumes.ts';
import { Turns } from './turns.ts';
import { checkVolumeName } from './volume-name.ts';

const silent = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const nobody = (): readonly string[] => [];

async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'volumes-')));
  try {
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const fails = (code: ErrorCode, message: RegExp) => (error: unknown) =>
  isHyperError(error, code) && message.test(error.message);

for (const name of ['a', '_a', 'Data.1-x', 'mit Leerzeichen', 'données', '日本', 'v'.repeat(255)]) {
  test(`a volume may be called "${name.slice(0, 20)}"`, () => checkVolumeName(name));
}
for (const name of [
  ...['', '.', '..', '.hidden', '-rf', 'a/b', '/a', 'a:b', 'a\0', 'a\nb', ' a', 'a '],
  ...['v'.repeat(256), 'é'.repeat(128), '\ud800'],
]) {
  test(`a volume may not be called ${JSON.stringify(name.slice(0, 20))} (${name.length})`, () => {
    assert.throws(() => checkVolumeName(name), fails('invalid-argument', /^name volume "/));
  });
}

test('a source is what its links lead to, below the allowed directories, a directory or a file', () =>
  inDirectory(async (base) => {
    const allowed = join(base, 'allowed');
    mkdirSync(join(allowed, 'd'), { recursive: true });
    writeFileSync(join(allowed, 'f'), '');
    mkdirSync(join(base, 'allowed-not'));
    symlinkSync('d', join(allowed, 'link'));
    symlinkSync('../allowed-not', join(allowed, 'out'));
    symlinkSync('loop', join(allowed, 'loop'));
    const server = createServer().listen(join(allowed, 'socket'));
    const paths = new HostPaths([allowed, join(base, 'none')]);
    const resolve = (source: string) => paths.resolve(source, 'volume v');
    assert.deepEqual(
      [(await resolve(join(allowed, 'link'))).path, (await resolve(join(allowed, 'f'))).kind],
      [join(allowed, 'd'), 'file'],
    );
    assert.equal((await resolve(allowed)).kind, 'directory');
    for (const [source, why] of [
      [join(allowed, 'out'), /outside of the directories/],
      [join(allowed, 'd/../../allowed-not'), /outside of the directories/],
      ['/', /outside of the directories/],
      [join(allowed, 'none'), /does not exist on the host/],
      [join(allowed, 'f/x'), /cannot be used/],
      [join(allowed, 'loop'), /round in circles/],
      [join(allowed, 'socket'), /neither a directory nor a regular file/],
      ['allowed', /not an absolute path/],
      [`${allowed}\0`, /not an absolute path/],
    ] as const) {
      await assert.rejects(resolve(source), fails('invalid-spec', why), source);
    }
    server.close();
  }));

test('disk images are what they are said to be, whole, and name no other file', () =>
  inDirectory(async (base) => {
    const image = (name: string, ...args: string[]): string => {
      execFileSync('qemu-img', ['create', '-q', ...args.slice(0, -1), join(base, name), ...args.slice(-1)]);
      return join(base, name);
    };
    const raw = image('raw', '-f', 'raw', '1M');
    const qcow2 = image('qcow2', '-f', 'qcow2', '1M');
    const vdi = image('vdi', '-f', 'vdi', '1M');
    const old = image('old', '-f', 'qcow2', '-o', 'compat=0.10', '1M');
    const backed = image('backed', '-f', 'qcow2', '-F', 'raw', '-b', raw, '1M');
    const external = image('external', '-f', 'qcow2', '-o', `data_file=${join(base, 'data')}`, '1M');
    writeFileSync(join(base, 'empty'), '');
    writeFileSync(join(base, 'short'), 'QFI\xfb', 'latin1');
    for (const [path, format] of [
      [raw, 'raw'],
      [qcow2, 'qcow2'],
      [old, 'qcow2'],
      [vdi, 'vdi'],
    ] as const)
      await checkDiskImage(path, format, 'volume v');
    for (const [path, format, why] of [
      [qcow2, 'raw', /is a qcow2 image/],
      [raw, 'qcow2', /is not a qcow2 image/],
      [raw, 'vdi', /is not a vdi image/],
      [backed, 'qcow2', /based on another image/],
      [external, 'qcow2', /data in another file/],
      [join(base, 'empty'), 'raw', /is empty/],
      [join(base, 'short'), 'qcow2', /has version 0/],
      [join(base, 'none'), 'raw', /cannot be read/],
    ] as const)
      await assert.rejects(checkDiskImage(path, format, 'volume v'), fails('invalid-spec', why), path);
  }));

test('a disk image has one pod that writes, or several that read', () => {
  const leases = new DiskLeases();
  const take = (pod: string, writes: boolean) => leases.take('1:2', '/disk', { pod, writes });
  const first = take('a', true);
  take('a', false)[Symbol.dispose]();
  assert.throws(() => take('b', false), fails('conflict', /pod "a" writes to it/));
  first[Symbol.dispose]();
  const readers = [take('a', false), take('b', false)];
  assert.throws(() => take('c', true), fails('conflict', /pod "a" reads it/));
  for (const reader of readers) reader[Symbol.dispose]();
  take('c', true);
});

test('work on one thing comes one after the other, whatever fails; on others it does not wait', async () => {
  const turns = new Turns();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = turns.run(['a', 'b'], () => gate.promise.then(() => assert.fail('it fails')));
  const second = turns.run(['b'], async () => void order.push('second'));
  await turns.run(['c'], async () => void order.push('other'));
  gate.resolve();
  await assert.rejects(first, /it fails/);
  await second;
  assert.deepEqual(order, ['other', 'second']);
});

test('named volumes are there or not, used or not, and removals are ended by the next daemon', () =>
  inDirectory(async (root) => {
    {
      using state = openState(root);
      const volumes = new NamedVolumes({ root, state, logger: silent, events: new Events() });
      await volumes.open();
      const made = await volumes.create('a', { k: 'v' });
      assert.deepEqual([made.labels, existsSync(made.path)], [{ k: 'v' }, true]);
      await assert.rejects(volumes.create('a'), fails('conflict', /one of that name/));
      assert.equal((await volumes.ensure('a', { other: '' })).labels.k, 'v');
      await assert.rejects(volumes.remove('none', nobody), fails('not-found', /none/));
      await assert.rejects(
        volumes.remove('a', () => ['x', 'y']),
        fails('conflict', /in use by pod x, y/),
      );
      await volumes.ensure('b');
      writeFileSync(join(volumes.find('b').path, 'f'), 'x'.repeat(100_000));
      const { removed, bytes } = await volumes.prune((name) => (name === 'a' ? ['x'] : []));
      assert.deepEqual([removed, bytes >= 100_000], [['b'], true]);
      // As a daemon leaves it that is killed in a removal, before and behind the step that takes the name away.
      await volumes.ensure('half');
      state.db.exec("UPDATE volumes SET removing = 1 WHERE name = 'half'");
      await assert.rejects(volumes.ensure('half'), fails('conflict', /being removed/));
      mkdirSync(join(root, 'volumes/.removed-1/deep'), { recursive: true });
      mkdirSync(join(root, 'volumes/unknown'));
      rmSync(volumes.find('a').path, { recursive: true });
    }
    using state = openState(root);
    const volumes = new NamedVolumes({ root, state, logger: silent, events: new Events() });
    await volumes.open();
    assert.deepEqual(readdirSync(join(root, 'volumes')).sort(), ['a', 'unknown']);
    assert.deepEqual(
      volumes.list().map(({ name }) => name),
      ['a'],
    );
    assert.equal(existsSync((await volumes.ensure('a')).path), true);
  }));
