import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { createZstdCompress } from 'node:zlib';
import type { TarEntry } from '../packages/hyperd/src/tar/tar-scanner.ts';
import { TAR_END, tarHeader } from '../packages/hyperd/src/tar/tar-writer.ts';
import { type CommandResult, collect, eventually } from './support/daemon.ts';
import { startOdd } from './support/hostile-registry.ts';
import { filesOf } from './support/image-store.ts';
import { busyboxLayer, type LayerEntry, layerTar, loadImage, type SampleImage } from './support/images.ts';
import { startRegistry, type TestRegistry } from './support/registry.ts';
import { serve } from './support/served-images.ts';
import { atStart, shared, sharedDaemon, sharedDirectory } from './support/shared.ts';

const daemon = sharedDaemon();
const directory = sharedDirectory('hyc-');
let registry: TestRegistry;
atStart(async () => {
  registry = shared(await startRegistry());
});

const file = (name: string, data: string): LayerEntry => ({ name, type: 'file', data });
const hyperctl = (args: readonly string[]): Promise<CommandResult> => daemon.hyperctl(args);

/** As `hyperctl`, and it has to succeed. */
async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await hyperctl(args);
  assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

const skopeo = (...args: string[]): string =>
  execFileSync('skopeo', ['--insecure-policy', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

let made = 0;
/** Loads an image under a name; resolves with the archive that it came from. */
const loaded = (name: string, image: SampleImage): Promise<string> =>
  loadImage(daemon, { path: join(directory, `${++made}.tar`), name, image });

for (const format of ['docker', 'oci'] as const) {
  test(`what save writes as ${format} goes through skopeo and back with its configuration and layers`, async () => {
    const name = `${registry.host}/kept:1`;
    const image = {
      layers: [[file('base', 'b'.repeat(5000))], [file('top', 't')]],
      config: { Cmd: ['/bin/sh', '-c', 'x'], Labels: { a: 'b' }, ExposedPorts: { '80/tcp': {} } },
    };
    const source = await loaded(name, image);
    const archive = join(directory, `saved-${format}.tar`);
    await done('save', '-f', format, '-o', archive, name);
    const inspect = (source: string) => {
      const { created, config, rootfs } = JSON.parse(
        skopeo('inspect', '--tls-verify=false', '--config', source),
      );
      return { created, config, rootfs };
    };
    const saved =
      format === 'docker' ? `docker-archive:${archive}:${name}` : `oci-archive:${archive}:${name}`;
    const original = inspect(`oci-archive:${source}:latest`);
    assert.deepEqual(inspect(saved), original);
    const back = join(directory, `back-${format}.tar`);
    skopeo('copy', '-q', saved, `${format}-archive:${back}:${registry.host}/back:1`);
    await done('load', '-i', back);
    skopeo('copy', '-q', '--dest-tls-verify=false', saved, `docker://${registry.host}/from-${format}:1`);
    await done('pull', `${registry.host}/from-${format}:1`);
    await done('push', `${registry.host}/back:1`);
    for (const copy of ['back', `from-${format}`]) {
      assert.deepEqual(inspect(`docker://${registry.host}/${copy}:1`), original);
      await done('rmi', `${registry.host}/${copy}:1`);
    }
    await done('rmi', name);
  });
}

test('save gives names, several images, and nothing half-written', async () => {
  await loaded('some:1', { layers: [[file('a', '1')]] });
  await loaded('some:2', { layers: [[file('a', '2')]] });
  const archive = join(directory, 'names.tar');
  await done('save', '-f', 'oci', '-r', 'some:1=first', '-r', 'some:2=second', '-o', archive, 'some');
  await done('rmi', 'some:1', 'some:2');
  await done('load', '-i', archive, '-r', 'first=renamed:1', '-q');
  const listed = (await done('images', '--format', 'json'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    listed.filter(({ Repository }) => ['some', 'renamed'].includes(Repository)).map((row) => row.Tag),
    ['1'],
  );
  const before = readFileSync(archive);
  const missing = await hyperctl(['save', '-o', archive, 'renamed:1', 'nothing:1']);
  assert.match(missing.stderr, /hyperctl ERROR: No such image: nothing:1/);
  assert.ok(readFileSync(archive).equals(before), 'a failed save leaves the file that is there');
  assert.match((await hyperctl(['save', '-f', 'zip', 'renamed:1'])).stderr, /"zip", want docker or oci/);
  const terminal = spawn(
    'script',
    ['-qec', `${join(import.meta.dirname, '../bin/hyperctl')} save renamed:1`, '/dev/null'],
    {
      env: { ...process.env, HYPER_HOST: `unix://${daemon.socket}` },
    },
  );
  const { code, stdout } = await collect(terminal);
  assert.equal(code, 1);
  assert.match(stdout, /does not write an archive to a terminal/);
  await done('rmi', 'renamed:1');
});

for (const [what, code] of [
  ['interrupted', 130],
  ['broken off by the daemon', 1],
] as const) {
  test(`a save that is ${what} leaves nothing half-written`, async () => {
    const folder = mkdtempSync(join(directory, 'half-'));
    await using slow = await startOdd((_, response) => {
      response.writeHead(200).write(Buffer.alloc(100_000));
      if (code === 1) setTimeout(() => response.destroy(), 200);
    });
    const save = daemon.spawnHyperctl([
      '-H',
      `tcp://127.0.0.1:${slow.port}`,
      'save',
      '-o',
      join(folder, 'x.tar'),
      'x',
    ]);
    const result = collect(save);
    await eventually('it writes', () => readdirSync(folder).length > 0);
    if (code === 130) save.kill('SIGINT');
    assert.equal((await result).code, code);
    assert.deepEqual(readdirSync(folder), []);
  });
}

test('import makes an image of a file, of stdin and of a URL, that runs as its changes say', async () => {
  const tar = join(directory, 'tree.tar');
  writeFileSync(tar, layerTar([...busyboxLayer(), file('mark', 'imported')]));
  const changes = ['-c', 'CMD ["cat", "/mark"]', '-c', 'ENV PATH=/bin'];
  const id = (await done('import', '-m', 'by hand', ...changes, tar, 'imported:1')).trim();
  assert.match(id, /^sha256:[0-9a-f]{64}$/);
  assert.equal((await hyperctl(['run', '--rm', 'imported:1'])).stdout, 'imported');
  assert.match(await done('history', 'imported:1'), /^IMAGE .*COMMENT\n\w{12} .*by hand\n$/);

  const packed = execFileSync('xz', ['-c', tar]);
  const server = createServer((_, response) => response.end(packed)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tree.tar.xz`;
    await done('import', url, 'imported:url');
  } finally {
    server.close();
  }
  const fromStdin = await daemon.hyperctl(['import', '-'], { input: readFileSync(tar).toString('latin1') });
  assert.equal(fromStdin.code, 1, 'what is no tar any more is refused');
  assert.match(fromStdin.stderr, /hyperctl ERROR: .*archive/);
  assert.match((await hyperctl(['import', '-c', 'RUN ls', tar])).stderr, /RUN ls/);
  assert.match((await hyperctl(['import', join(directory, 'none.tar')])).stderr, /ENOENT/);
  await done('rmi', '-f', 'imported:1', 'imported:url');
});

test('images are listed, named, told of, and pruned', async () => {
  await loaded('list/one:1', { layers: [[file('a', '1')]], config: { Labels: { kind: 'first' } } });
  await loaded('list/two:1', { layers: [[file('a', '2')]] });
  await done('tag', 'list/one:1', 'list/one:again');
  const names = async (...args: string[]): Promise<string[]> =>
    (await done('images', ...args))
      .split('\n')
      .slice(1)
      .filter((line) => line.startsWith('list/'))
      .map((line) => line.split(/\s+/, 2).join(':'))
      .sort();
  assert.deepEqual(await names('-a'), ['list/one:1', 'list/one:again', 'list/two:1']);
  assert.deepEqual(await names('list/one'), ['list/one:1', 'list/one:again']);
  assert.deepEqual(await names('-f', 'label=kind=first', '-f', 'reference=list/*:1'), ['list/one:1']);
  assert.deepEqual(await names('-f', 'dangling=true'), []);
  assert.match((await hyperctl(['images', '-f', 'size=1'])).stderr, /want one of before, dangling/);
  const [id = ''] = (await done('images', '-q', '--no-trunc', 'list/two')).trim().split('\n');
  assert.match(id, /^sha256:[0-9a-f]{64}$/);
  assert.equal((await done('images', '-q', 'list/two')).trim(), id.slice(7, 19));
  assert.match(
    await done('images', '-s', '--digests', 'list/two'),
    /DIGEST.*SHARED SIZE {9}UNIQUE SIZE\n.*<none>/,
  );

  await done('tag', 'list/one:1', 'list/two:1');
  assert.match(await done('images', '-f', 'dangling=true'), /<none> +<none>/);
  const pruned = await done('prune');
  assert.match(pruned, new RegExp(`Deleted: ${id}\nTotal reclaimed space: [0-9.]+ \\w+\n$`));
  assert.deepEqual(await names(), ['list/one:1', 'list/one:again', 'list/two:1']);
  assert.match(
    await done('rmi', 'list/one:again'),
    /^Untagged: list\/one:again\nImage\(.*\) is successful to be deleted!\n$/,
  );
  assert.match(
    (await hyperctl(['rmi', (await done('images', '-q', 'list/two')).trim()])).stderr,
    /referenced in multiple repositories/,
  );
  await done('rmi', 'list/one:1', 'list/two:1');
  assert.match((await hyperctl(['history', 'list/one:1'])).stderr, /No such image: list\/one:1/);
});

test('push and pull -a take all tags, -q says only the name', async () => {
  const name = `${registry.host}/tags`;
  await loaded(`${name}:1`, { layers: [[file('a', 'tags')]] });
  await done('tag', `${name}:1`, `${name}:two`);
  assert.equal(await done('push', '-a', '-q', name), `${name}\n`);
  await done('rmi', `${name}:1`, `${name}:two`);
  await done('pull', '-a', name);
  assert.equal((await done('images', '-q', name)).trim().split('\n').length, 2);
  assert.equal(await done('pull', '-q', `${name}:two`), `${name}:two\n`);
  assert.match((await hyperctl(['push', name])).stdout, /Using default tag: latest/);
  assert.match((await hyperctl(['push', 'tags'])).stderr, /cannot push a "root" repository/);
  assert.match((await hyperctl(['pull', '-a', `${name}:1`])).stderr, /has a tag or digest/);
  assert.match((await hyperctl(['pull', '--platform', 'x', `${name}:1`])).stderr, /want OS\/ARCHITECTURE/);
  await done('rmi', `${name}:1`, `${name}:two`);
});

test('the memory of the daemon does not grow with the size of an image', async () => {
  const before = peakMemoryMib();
  const tar = [tarHeader(ZEROS), ...Array(512).fill(Buffer.alloc(1 << 20))];
  const packed = Readable.from([...tar, TAR_END]).pipe(createZstdCompress());
  const path = join(directory, 'zeros.tar.zst');
  await pipeline(packed, createWriteStream(path));
  await done('import', path, 'zeros:1');
  assert.ok(peakMemoryMib() < Math.max(300, before + 100), `${peakMemoryMib()} MiB, ${before} before`);
  await done('rmi', 'zeros:1');
});

const ZEROS: TarEntry = {
  ...{ name: 'zeros', type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, linkName: '' },
  ...{ sizeBytes: 512 << 20, deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
};

function peakMemoryMib(): number {
  const [, kib] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

/** A registry that serves an image and stops in the middle of its layer. */
async function stalling() {
  const image = { layers: [[file('big', 'z'.repeat(3 << 20))]], compression: 'none' } as const;
  const answer = serve([image], ([manifest]) => manifest);
  const [reached, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const server = await startOdd((request, response) => {
    const isLayer =
      request.url?.includes('/blobs/') && server.seen.filter(({ url }) => url.includes('/blobs/')).length > 1;
    if (!isLayer) return answer(request, response);
    response.once('close', gone.resolve);
    response.writeHead(200).write(Buffer.alloc(100_000), () => reached.resolve());
  });
  return { server, reached: reached.promise, gone: gone.promise };
}

test('SIGINT ends a pull in the middle, and the store is as it was', async () => {
  const before = filesOf(daemon.root);
  const { server, reached, gone } = await stalling();
  await using _ = server;
  const pull = daemon.spawnHyperctl(['pull', `${server.host}/half:1`]);
  await reached;
  pull.kill('SIGINT');
  await gone;
  await eventually('what came is removed', () => filesOf(daemon.root).join() === before.join());
  assert.doesNotMatch(await done('images'), /half/);
});

test('kill -9 of the daemon in the middle of a pull and a load leaves nothing of them', async () => {
  const before = filesOf(daemon.root);
  const { server, reached } = await stalling();
  await using _ = server;
  const pull = daemon.spawnHyperctl(['pull', `${server.host}/half:1`]);
  const load = daemon.spawnHyperctl(['load']);
  const ends = [pull, load].map((child) => new Promise((resolve) => child.once('close', resolve)));
  load.stdin?.on('error', () => undefined); // it ends with the daemon
  load.stdin?.write(
    layerTar([file('blobs/sha256/x', 'y'.repeat(2 << 20)), file('z', 'z')]).subarray(0, 1 << 20),
  );
  await reached;
  await eventually('both are half there', () => filesOf(daemon.root).length >= before.length + 3);
  await daemon.kill();
  load.stdin?.end();
  await Promise.all(ends);
  assert.deepEqual([pull.exitCode, load.exitCode], [1, 1]);
  await daemon.restart();
  assert.deepEqual(filesOf(daemon.root), before);
});
