import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { filesOf, inStore, nobody, rootfsOf } from '../../../../test/support/image-store.ts';
import {
  type LayerEntry,
  layerTar,
  layoutArchive,
  layoutFiles,
  type SampleImage,
} from '../../../../test/support/images.ts';
import { type ErrorCode, isHyperError } from '../errors.ts';
import type { ImageService, ImageUsers } from './image-service.ts';

const file = (name: string, data: string, more: Partial<LayerEntry> = {}): LayerEntry => ({
  ...{ name, type: 'file', data },
  ...more,
});
const load = (images: ImageService, image: SampleImage) => images.load(Readable.from([layoutArchive(image)]));

test('layers of every compression become one file system', () =>
  inStore(async ({ images }) => {
    for (const compression of ['gzip', 'zstd', 'none'] as const) {
      const layers = [
        [file('a', `${compression} below`), file('d/gone', 'x'), file('kept', 'k'.repeat(5000))],
        [file('a', 'above'), file('d/.wh.gone', '')],
      ];
      const [image] = await load(images, { layers, compression, ref: `x:${compression}` });
      assert.deepEqual(image?.tags, [`x:${compression}`]);
      assert.deepEqual(await rootfsOf(images, image.id), { a: 'above', kept: 'k'.repeat(5000) });
    }
  }));

const hostile: readonly (readonly [string, LayerEntry[], ErrorCode, RegExp])[] = [
  ['a name that leads out', [file('../../etc/passwd', 'x')], 'corrupt', /leads out of the image/],
  [
    'a hard link that leads out',
    [{ name: 'l', type: 'link', linkName: '../../etc/shadow' }],
    'corrupt',
    /leads out/,
  ],
  ['a name of 300 bytes', [file('n'.repeat(300), 'x')], 'corrupt', /300 bytes, at most 255/],
  [
    'more extended attributes than an inode holds',
    [
      file('x', 'y', {
        xattrs: new Map(Array.from({ length: 10 }, (_, i) => [`user.a${i}`, 'v'.repeat(60_000)])),
      }),
    ],
    'limit',
    /extended attributes of 600\d+ bytes/,
  ],
];
for (const [what, layer, code, message] of hostile) {
  test(`a layer with ${what} is refused, and leaves nothing`, () =>
    inStore(async ({ root, images }) => {
      await assert.rejects(load(images, { layers: [layer] }), (error) => {
        assert.ok(isHyperError(error, code), String(error));
        assert.match(error.message, message);
        return true;
      });
      assert.deepEqual(filesOf(root), []);
      assert.deepEqual(await images.list(), []);
    }));
}

test('absolute names, links through directories that are links, and names that come twice stay inside', () =>
  inStore(async ({ images }) => {
    const layer: LayerEntry[] = [
      file('/absolute', '1'),
      { name: 'out', type: 'symlink', linkName: '/../../../../tmp' },
      file('out/file', 'inside'),
      file('twice', 'first'),
      { name: 'other', type: 'link', linkName: 'twice' },
      file('twice', 'second'),
    ];
    const [image] = await load(images, { layers: [layer] });
    assert.ok(image);
    const found = await rootfsOf(images, image.id);
    assert.deepEqual(found, { absolute: '1', 'tmp/file': 'inside', twice: 'second', other: 'first' });
    assert.equal(existsSync('/tmp/file'), false);
  }));

test('an image of 127 layers with long paths', () =>
  inStore(async ({ images }) => {
    const path = `${'directory/'.repeat(40)}${'n'.repeat(200)}`;
    const layers = Array.from({ length: 127 }, (_, index) => [
      file(`layer-${index}`, String(index)),
      file(path, String(index)),
    ]);
    const [image] = await load(images, { layers });
    assert.ok(image);
    const found = await rootfsOf(images, image.id);
    assert.equal(Object.keys(found).length, 128);
    assert.equal(found[path], '126');
    assert.equal((await images.history(image.id)).length, 127);
  }));

test('more bytes than are allowed are refused, naming the bound, and leave nothing', () =>
  inStore(async ({ root, images }) => {
    const image = { layers: [[file('bomb', '\0'.repeat(3 << 20))]], compression: 'gzip' } as const;
    await assert.rejects(
      load(images, image),
      (error) => isHyperError(error, 'limit') && error.message.includes('1048576'),
    );
    assert.deepEqual(filesOf(root), []);
  }, 1 << 20));

const damaged: readonly (readonly [string, Partial<SampleImage>, ErrorCode, RegExp])[] = [
  [
    'another diff id',
    { damage: 'diffId' },
    'corrupt',
    /uncompressed digest is sha256:[0-9a-f]{64}, the image's configuration says sha256:0{64}/,
  ],
  [
    'another blob than its name says',
    { damage: 'blob' },
    'corrupt',
    /expected sha256:[0-9a-f]{64}, got sha256:/,
  ],
  ['a layer that is cut', { damage: 'truncated' }, 'corrupt', /unpack layer sha256/],
  [
    'a layer of a foreign type',
    { layerType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' },
    'unsupported',
    /foreign/,
  ],
  [
    'a layer of an unknown type',
    { layerType: 'application/x-something' },
    'unsupported',
    /application\/x-something/,
  ],
  [
    'a configuration that is no image',
    { configType: 'application/vnd.cncf.helm.config.v1+json' },
    'unsupported',
    /helm/,
  ],
];
for (const [what, more, code, message] of damaged) {
  test(`an image with ${what} is refused as ${code}, and leaves nothing`, () =>
    inStore(async ({ root, images }) => {
      await assert.rejects(load(images, { layers: [[file('a', 'b'.repeat(50_000))]], ...more }), (error) => {
        assert.ok(isHyperError(error, code), String(error));
        assert.match(error.message, message);
        return true;
      });
      assert.deepEqual(filesOf(root), []);
    }));
}

for (const format of ['docker', 'oci'] as const) {
  test(`images saved as ${format} come back as they were, the same bytes every time`, () =>
    inStore(async ({ root, images }) => {
      const shared = [file('base', 'b')];
      await load(images, { layers: [shared, [file('one', '1')]], ref: 'one:1' });
      await load(images, { layers: [shared, [file('two', '2')]], ref: 'two:2' });
      await images.tag('two:2', 'localhost:5000/also:two');
      const before = await images.list();
      const digests = await Promise.all(
        before.map(async ({ id }) => (await images.inspect(id)).manifestDigest),
      );
      const save = async () =>
        buffer(await images.save(['one', 'two:2', 'localhost:5000/also:two'], { format }));
      const archive = await save();
      assert.ok(archive.equals(await save()));
      for (const { id } of before) await images.remove(id, { force: true, users: nobody });
      assert.deepEqual(filesOf(root), []);
      await images.load(Readable.from([archive]));
      assert.deepEqual(await images.list(), before);
      const after = await Promise.all(
        before.map(async ({ id }) => (await images.inspect(id)).manifestDigest),
      );
      assert.deepEqual(after, digests);
    }));
}

test("an archive's names and links lead to its own files only", () =>
  inStore(async ({ root, images }) => {
    const files = [...layoutFiles({ layers: [[file('a', '1')]], ref: 'odd:1' })];
    const entries = files.flatMap(([name, bytes], index): LayerEntry[] => [
      file(`/${name}`, 'an earlier one, which does not count'),
      { name, type: 'symlink', linkName: `/../../data/${index}` },
      file(`../data/../data/${index}`, bytes.toString('latin1')),
    ]);
    const [image] = await images.load(Readable.from([layerTar(entries)]));
    assert.deepEqual(image?.tags, ['odd:1']);
    await images.remove('odd:1', { force: true, users: nobody });
    for (const outside of ['/etc/passwd', '../../../../../../etc/passwd']) {
      const manifest = JSON.stringify([{ Config: 'config', RepoTags: ['x:1'], Layers: ['layer'] }]);
      const archive = layerTar([
        file('manifest.json', manifest),
        ...['config', 'layer'].map((name): LayerEntry => ({ name, type: 'symlink', linkName: outside })),
      ]);
      await assert.rejects(
        images.load(Readable.from([archive])),
        (error) => isHyperError(error, 'corrupt') && error.message.endsWith('the archive has no file config'),
      );
    }
    assert.deepEqual(filesOf(root), []);
  }));

test('an archive compressed in any way is loaded', () =>
  inStore(async ({ images }) => {
    const archive = layoutArchive({ layers: [[file('a', '1')]], ref: 'packed:1' });
    for (const program of ['gzip', 'xz', 'bzip2', 'zstd']) {
      const packed = execFileSync(program, ['-c'], { input: archive });
      const [image] = await images.load(Readable.from([packed]));
      assert.deepEqual(image?.tags, ['packed:1'], program);
      await images.remove('packed:1', { force: true, users: nobody });
    }
  }));

test('refs choose and rename what is loaded; a ref that is not there is named', () =>
  inStore(async ({ images }) => {
    const archive = layoutArchive({ layers: [[file('a', '1')]], ref: 'v1' });
    const read = (refs: Record<string, string>) => images.load(Readable.from([archive]), { refs });
    assert.deepEqual((await read({ v1: 'app:v1' }))[0]?.tags, ['app:v1']);
    await assert.rejects(
      read({ v2: 'app:v2' }),
      (error) => isHyperError(error, 'not-found') && /"v2"; it has v1/.test(error.message),
    );
    assert.deepEqual((await images.load(Readable.from([archive]), { name: 'given' }))[0]?.tags, [
      'app:v1',
      'given:latest',
    ]);
  }));

test('an import makes an image of any tar, with its changes', () =>
  inStore(async ({ images }) => {
    const tar = layerTar([file('hello', 'world')]);
    const changes = [
      'CMD ["/hello", "x"]',
      'ENV A="b c" D=e',
      'EXPOSE 80 90-91/udp',
      'WORKDIR /w',
      'LABEL k=v',
      'USER 7',
    ];
    for (const bytes of [tar, execFileSync('bzip2', ['-c'], { input: tar })]) {
      const id = await images.import(Readable.from([bytes]), {
        reference: 'imported:1',
        message: 'why',
        changes,
      });
      const details = await images.inspect('imported:1');
      assert.equal(details.id, id);
      assert.equal(details.comment, 'why');
      assert.deepEqual(details.config, {
        ...{ Cmd: ['/hello', 'x'], Env: ['A=b c', 'D=e'], WorkingDir: '/w', Labels: { k: 'v' }, User: '7' },
        ExposedPorts: { '80/tcp': {}, '90/udp': {}, '91/udp': {} },
      });
      assert.deepEqual(details.diffIds, [`sha256:${createHash('sha256').update(tar).digest('hex')}`]);
      assert.deepEqual(await rootfsOf(images, id), { hello: 'world' });
    }
  }));

test('what follows the compressed data of a layer does not count', () =>
  inStore(async ({ images }) => {
    const padding = Array.from({ length: 50 }, () => Buffer.alloc(100_000));
    const id = await images.import(Readable.from([gzipSync(layerTar([file('a', 'b')])), ...padding]));
    assert.deepEqual(await rootfsOf(images, id), { a: 'b' });
  }));

for (const change of [
  'RUN ls',
  'ENV',
  'EXPOSE 0',
  'EXPOSE 70000',
  'ENV novalue',
  'ONBUILD FROM x',
  'HEALTHCHECK --every=1s CMD x',
]) {
  test(`the change "${change}" is refused`, () =>
    inStore(async ({ root, images }) => {
      const source = Readable.from([layerTar([file('a', 'b')])]);
      await assert.rejects(
        images.import(source, { changes: [change] }),
        (error) => isHyperError(error, 'invalid-argument') && error.message.includes(change),
      );
      assert.deepEqual(filesOf(root), []);
    }));
}

test('what is damaged on disk is made again from the blobs; damaged blobs are told, and a load mends them', () =>
  inStore(async ({ root, images }) => {
    const sample = { layers: [[file('a', 'x'.repeat(10_000))]], compression: 'none', ref: 'mend:1' } as const;
    const [image] = await load(images, sample);
    assert.ok(image);
    const expected = { a: 'x'.repeat(10_000) };
    const below = (folder: string): string => {
      const [name] = readdirSync(join(root, 'images', folder)).filter((entry) => !entry.endsWith('.json'));
      return join(root, 'images', folder, name as string);
    };
    const damages: (() => void)[] = [
      () => truncateSync(below('layers'), 4096),
      () => writeFileSync(below('layers'), 'y'.repeat(readFileSync(below('layers')).length)),
      () => writeFileSync(below('layers').replace('.data', '.json'), '[]'),
      () => rmSync(below('layers')),
      ...readdirSync(join(root, 'images/rootfs')).map(
        (name) => () => writeFileSync(join(root, 'images/rootfs', name), 'z'),
      ),
      () => rmSync(join(root, 'images/rootfs'), { recursive: true }),
    ];
    for (const damage of damages.slice(0, -1)) {
      damage();
      assert.deepEqual(await rootfsOf(images, image.id), expected, String(damage));
    }
    const [layer] = (await images.inspect(image.id)).diffIds;
    assert.ok(layer);
    const blobs = join(root, 'images/blobs/sha256');
    const [largest] = readdirSync(blobs).sort(
      (a, b) => readFileSync(join(blobs, b)).length - readFileSync(join(blobs, a)).length,
    );
    writeFileSync(join(blobs, largest as string), 'other bytes');
    rmSync(below('layers'));
    await assert.rejects(images.rootfs(image.id), (error) => isHyperError(error, 'corrupt'));
    await assert.rejects(
      images.rootfs(image.id),
      (error) => isHyperError(error, 'not-found') && error.message.includes(largest as string),
    );
    await load(images, sample);
    assert.deepEqual(await rootfsOf(images, image.id), expected);
    for (const name of readdirSync(blobs)) {
      writeFileSync(join(blobs, name), 'other bytes');
      await load(images, sample);
      rmSync(below('layers'));
      assert.deepEqual(await rootfsOf(images, image.id), expected, name);
    }
  }));

test('what a crash leaves half-made is gone after the next start, and what was whole is not', () =>
  inStore(async ({ root, images, reopen }) => {
    const [image] = await load(images, { layers: [[file('a', '1')]], ref: 'whole:1' });
    assert.ok(image);
    const before = filesOf(root);
    const hex = 'ab'.repeat(32);
    writeFileSync(join(root, 'images/tmp/blob-7'), 'half');
    writeFileSync(join(root, `images/layers/${hex}.data`), 'half');
    writeFileSync(join(root, `images/rootfs/${hex}.erofs`), 'half');
    writeFileSync(join(root, `images/blobs/sha256/${hex}`), 'of no image');
    const again = await reopen();
    await again.collectGarbage();
    assert.deepEqual(filesOf(root), before);
    assert.deepEqual(await rootfsOf(again, image.id), { a: '1' });
  }));

test('layers that images share stay until the last of them goes; sizes tell what is shared', () =>
  inStore(async ({ root, images }) => {
    const shared = [file('base', 'b'.repeat(100_000))];
    const [one] = await load(images, { layers: [shared], ref: 'one:1' });
    const [two] = await load(images, { layers: [shared, [file('own', 'o'.repeat(50_000))]], ref: 'two:1' });
    assert.ok(one && two);
    await load(images, { layers: [[file('holes', '\0'.repeat(8 << 20))]], ref: 'holes:1' });
    const usage = new Map((await images.listUsage()).map((entry) => [entry.tags[0], entry]));
    assert.equal(usage.get('one:1')?.sharedBytes, usage.get('two:1')?.sharedBytes);
    assert.ok((usage.get('one:1')?.sharedBytes ?? 0) > 100_000);
    assert.ok((usage.get('two:1')?.uniqueBytes ?? 0) > (usage.get('one:1')?.uniqueBytes ?? 0) + 50_000);
    const holes = usage.get('holes:1');
    assert.ok(holes && holes.sizeBytes > 8 << 20 && holes.uniqueBytes < 1 << 20, 'zeros take no disk');
    for (const name of ['one:1', 'holes:1']) await images.remove(name, { force: false, users: nobody });
    assert.deepEqual(Object.keys(await rootfsOf(images, two.id)).sort(), ['base', 'own']);
    const result = await images.prune({ all: true, users: nobody });
    assert.deepEqual(result.removals, [{ untagged: 'two:1' }, { deleted: two.id }]);
    assert.ok(result.reclaimedBytes > 150_000);
    assert.deepEqual(filesOf(root), []);
  }));

test('names are taken away one by one; who uses an image keeps it', () =>
  inStore(async ({ images }) => {
    const [image] = await load(images, { layers: [[file('a', '1')]], ref: 'n:1' });
    assert.ok(image);
    await images.tag('n:1', 'm:2');
    const using =
      (isRunning: boolean): ImageUsers =>
      () => [{ container: 'c'.repeat(64), isRunning }];
    await assert.rejects(
      images.remove(image.id, { force: false, users: nobody }),
      (error) => isHyperError(error, 'conflict') && /multiple repositories/.test(error.message),
    );
    assert.deepEqual(await images.remove('n:1', { force: false, users: using(true) }), [{ untagged: 'n:1' }]);
    for (const force of [false, true])
      await assert.rejects(images.remove('m:2', { force, users: using(true) }), (error) =>
        isHyperError(error, 'conflict'),
      );
    await assert.rejects(
      images.remove('m:2', { force: false, users: using(false) }),
      (error) => isHyperError(error, 'conflict') && /must force/.test(error.message),
    );
    assert.deepEqual(await images.remove('m:2', { force: true, users: using(false) }), [{ untagged: 'm:2' }]);
    assert.deepEqual((await images.prune({ all: true, users: using(false) })).removals, []);
    assert.deepEqual((await images.prune({ all: false, users: nobody })).removals, [{ deleted: image.id }]);
    assert.deepEqual(await images.list(), []);
  }));

test('imports, removals and collections side by side lose nothing that is named', () =>
  inStore(async ({ root, images }) => {
    const sample = (index: number): SampleImage => ({
      ...{ layers: [[file('base', 'shared')], [file('own', String(index))]], ref: `n${index}:1` },
    });
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        await load(images, sample(index));
        if (index % 3 === 0) await images.collectGarbage();
        if (index % 2 === 0) await images.remove(`n${index}:1`, { force: false, users: nobody });
        else await images.collectGarbage();
      }),
    );
    const left = await images.list();
    assert.equal(left.length, 6);
    for (const { id, tags } of left)
      assert.deepEqual(await rootfsOf(images, id), { base: 'shared', own: String(tags[0]?.slice(1, -2)) });
    await images.prune({ all: true, users: nobody });
    assert.deepEqual(filesOf(root), []);
  }));

test('a canceled load leaves nothing', () =>
  inStore(async ({ root, images }) => {
    const abort = new AbortController();
    const archive = layoutArchive({ layers: [[file('a', 'x'.repeat(100_000))]], ref: 'never:1' });
    const slow = Readable.from(
      (async function* () {
        yield archive.subarray(0, archive.length - 2048);
        abort.abort();
        yield archive.subarray(archive.length - 2048);
      })(),
    );
    await assert.rejects(images.load(slow, { signal: abort.signal }), (error) =>
      isHyperError(error, 'canceled'),
    );
    assert.deepEqual(filesOf(root), []);
  }));

test('an id that is not unique, and a name that is not there, are told', () =>
  inStore(async ({ images }) => {
    await assert.rejects(
      images.resolve('none:1'),
      (error) => isHyperError(error, 'not-found') && error.message === 'No such image: none:1',
    );
    const [image] = await load(images, { layers: [[file('a', '1')]], ref: 'x:1' });
    assert.ok(image);
    assert.equal((await images.resolve(image.id.slice(7, 19))).id, image.id);
    await assert.rejects(images.tag('x:1', 'y@sha256:'.padEnd(73, '0')), (error) =>
      isHyperError(error, 'invalid-argument'),
    );
  }));
