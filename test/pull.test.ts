import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ErrorCode, isHyperError } from '../packages/hyperd/src/errors.ts';
import type { ProgressMessage } from '../packages/hyperd/src/images/image-service.ts';
import { startOdd } from './support/hostile-registry.ts';
import { filesOf, inStore, nobody, rootfsOf } from './support/image-store.ts';
import { type LayerEntry, layoutFiles, makeImage, type SampleImage } from './support/images.ts';
import { startRegistry, type TestRegistry } from './support/registry.ts';
import { serve } from './support/served-images.ts';
import { atStart, shared, sharedDirectory } from './support/shared.ts';

const directory = sharedDirectory('hyp-');
let registry: TestRegistry;
atStart(async () => {
  registry = shared(await startRegistry());
});

const file = (name: string, data: string): LayerEntry => ({ name, type: 'file', data });

/** Copies with skopeo: the peer that knows registries well. */
function skopeo(...args: string[]): void {
  execFileSync('skopeo', [
    ...['copy', '-q', '--insecure-policy', '--src-tls-verify=false', '--dest-tls-verify=false'],
    ...args,
  ]);
}

let made = 0;
/** Pushes a sample with skopeo; resolves with the repository's name. */
function published(image: SampleImage, tags: readonly string[] = ['1'], ...options: string[]): string {
  const layout = join(directory, `layout-${++made}`);
  makeImage(layout, image);
  const name = `${registry.host}/sample-${made}`;
  for (const tag of tags) skopeo(...options, `oci:${layout}:latest`, `docker://${name}:${tag}`);
  return name;
}

const digestIn = (name: string): string =>
  execFileSync('skopeo', ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', `docker://${name}`], {
    encoding: 'utf8',
  }).trim();

for (const format of ['oci', 'v2s2'] as const) {
  test(`a pull and a push of an image in the format ${format} keep its digest; what is there is not sent again`, () =>
    inStore(async ({ images }) => {
      const layers = [[file('a', 'x'.repeat(100_000))], [file('b', 'y')]];
      const name = published({ layers }, ['1'], `--format=${format}`);
      const { id } = await images.pull(`${name}:1`);
      assert.deepEqual(await rootfsOf(images, id), { a: 'x'.repeat(100_000), b: 'y' });
      const target = `${registry.host}/pushed-${format}`;
      await images.tag(`${name}:1`, `${target}:new`);
      const said: ProgressMessage[] = [];
      const digest = await images.push(`${target}:new`, { onProgress: (message) => said.push(message) });
      assert.equal(digestIn(`${target}:new`), digestIn(`${name}:1`));
      assert.equal(digest, digestIn(`${name}:1`));
      const statuses = (): string[] => said.splice(0).map(({ status = '' }) => status);
      assert.equal(statuses().filter((status) => status.startsWith('Mounted from')).length, 2);
      await images.push(`${target}:new`, { onProgress: (message) => said.push(message) });
      assert.equal(statuses().filter((status) => status === 'Layer already exists').length, 2);
    }));
}

test('a pull by digest, of all tags, and for another platform', () =>
  inStore(async ({ images }) => {
    const name = published({ layers: [[file('a', '1')]] }, ['1', 'two']);
    const digest = digestIn(`${name}:1`);
    await images.pull(`${name}@${digest}`);
    assert.deepEqual((await images.list())[0]?.digests, [`${name}@${digest}`]);
    assert.deepEqual((await images.list())[0]?.tags, []);
    assert.equal(await images.pullAll(name), 2);
    assert.deepEqual((await images.list())[0]?.tags, [`${name}:1`, `${name}:two`]);
    await images.pull(`${name}:1`, { platform: 'linux/x86_64' });
    await assert.rejects(
      images.pull(`${name}:1`, { platform: 'linux/arm64' }),
      (error) =>
        isHyperError(error, 'not-found') &&
        error.message.endsWith('it is for linux/amd64, not for linux/arm64'),
    );
    await assert.rejects(
      images.pull(`${name}:1`, { platform: 'linux' }),
      (error) => isHyperError(error, 'invalid-argument') && /want OS\/ARCHITECTURE/.test(error.message),
    );
    await assert.rejects(images.pull(`${name}:none`), (error) => isHyperError(error, 'not-found'));
  }));

test('a list of manifests: the one that fits is taken, and what there is is told where none does', () =>
  inStore(async ({ root, images }) => {
    const [amd, arm] = [{ layers: [[file('arch', 'amd64')]] }, { layers: [[file('arch', 'arm')]] }];
    await using server = await startOdd(
      serve([amd, arm], (manifests) => [
        { ...manifests[0], platform: { os: 'linux', architecture: 'amd64' } },
        { ...manifests[1], platform: { os: 'linux', architecture: 'arm', variant: 'v7' } },
        { ...manifests[1], platform: { os: 'unknown', architecture: 'unknown' } },
      ]),
    );
    const name = `${server.host}/multi:1`;
    assert.deepEqual(await rootfsOf(images, (await images.pull(name, { platform: 'linux/amd64' })).id), {
      arch: 'amd64',
    });
    assert.deepEqual(await rootfsOf(images, (await images.pull(name, { platform: 'linux/arm/v7' })).id), {
      arch: 'arm',
    });
    const before = filesOf(root);
    await assert.rejects(
      images.pull(name, { platform: 'linux/s390x' }),
      (error) =>
        isHyperError(error, 'not-found') &&
        error.message.endsWith('no manifest for linux/s390x; there are: linux/amd64, linux/arm/v7'),
    );
    assert.deepEqual(filesOf(root), before);
  }));

const wrong: readonly (readonly [string, Partial<SampleImage>, ErrorCode, RegExp])[] = [
  [
    'whose blob has another digest',
    { damage: 'blob' },
    'corrupt',
    /expected sha256:\w{64}, got sha256:\w{64} of \d+ bytes/,
  ],
  [
    'whose layer has another diff id',
    { damage: 'diffId' },
    'corrupt',
    /layer sha256:\w{64}.*configuration says sha256:0{64}/,
  ],
  ['whose layer is cut', { damage: 'truncated' }, 'corrupt', /unpack layer sha256:\w{64}/],
  [
    'with a foreign layer',
    { layerType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' },
    'unsupported',
    /nondistributable/,
  ],
  [
    'with an encrypted layer',
    { layerType: 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted' },
    'unsupported',
    /layer sha256:\w{64} is of type .*encrypted/,
  ],
  [
    'that is a chart',
    { configType: 'application/vnd.cncf.helm.config.v1+json' },
    'unsupported',
    /no image.*helm/,
  ],
];
for (const [what, more, code, message] of wrong) {
  test(`an image ${what} is refused, and leaves the store as it was`, () =>
    inStore(async ({ root, images }) => {
      const before = await images.pull(`${published({ layers: [[file('kept', '1')]] })}:1`);
      const files = filesOf(root);
      const image = { layers: [[file('a', 'b'.repeat(200_000))]], ...more };
      await using server = await startOdd(serve([image], ([manifest]) => manifest));
      await assert.rejects(images.pull(`${server.host}/wrong:1`), (error) => {
        assert.ok(isHyperError(error, code), String(error));
        assert.match(error.message, message);
        return true;
      });
      assert.deepEqual(filesOf(root), files);
      assert.deepEqual(await rootfsOf(images, before.id), { kept: '1' });
    }));
}

test('a bomb is left as soon as it is too large', () =>
  inStore(async ({ root, images }) => {
    const image = { layers: [[file('bomb', '\0'.repeat(20 << 20))]] };
    await using server = await startOdd(serve([image], ([manifest]) => manifest));
    await assert.rejects(
      images.pull(`${server.host}/bomb:1`),
      (error) => isHyperError(error, 'limit') && /1048576/.test(error.message),
    );
    assert.deepEqual(filesOf(root), []);
  }, 1 << 20));

test('two pulls of one layer share its download, which goes on while one of them waits', () =>
  inStore(async ({ root, images }) => {
    const gate = Promise.withResolvers<void>();
    const image = { layers: [[file('big', 'z'.repeat(3 << 20))]], compression: 'none' } as const;
    const reached = Promise.withResolvers<void>();
    const answer = serve([image], ([manifest]) => manifest);
    await using server = await startOdd(async (request, response) => {
      if (request.url?.includes('/blobs/') && isLarge(request, image)) {
        reached.resolve();
        await gate.promise;
      }
      await answer(request, response);
    });
    const first = new AbortController();
    const canceled = images.pull(`${server.host}/one:1`, { signal: first.signal });
    await reached.promise;
    const kept = images.pull(`${server.host}/two:1`);
    // The second pull has joined once it has asked for its manifest and configuration.
    while (!server.seen.some(({ url }) => url.startsWith('/v2/two/manifests'))) await tick();
    await tick(50);
    first.abort();
    await assert.rejects(canceled, (error) => isHyperError(error, 'canceled'));
    gate.resolve();
    const { id } = await kept;
    assert.deepEqual(await rootfsOf(images, id), { big: 'z'.repeat(3 << 20) });
    assert.equal(server.seen.filter((request) => isLarge(request, image)).length, 1);
    await images.prune({ all: true, users: nobody });
    assert.deepEqual(filesOf(root), []);
  }));

test('a pull whose client goes away ends its download, and leaves nothing', () =>
  inStore(async ({ root, images }) => {
    const image = { layers: [[file('big', 'z'.repeat(3 << 20))]], compression: 'none' } as const;
    const client = new AbortController();
    const closed = Promise.withResolvers<void>();
    const answer = serve([image], ([manifest]) => manifest);
    await using server = await startOdd(async (request, response) => {
      if (!isLarge(request, image)) return answer(request, response);
      response.once('close', closed.resolve);
      response.writeHead(200).write(Buffer.alloc(100_000));
      setTimeout(() => client.abort(), 50);
    });
    await assert.rejects(images.pull(`${server.host}/gone:1`, { signal: client.signal }), (error) =>
      isHyperError(error, 'canceled'),
    );
    await closed.promise;
    assert.deepEqual(filesOf(root), []);
  }));

test('retries are told in the progress, and a cut download is unpacked whole', () =>
  inStore(async ({ images }) => {
    const content = Array.from({ length: 200_000 }, (_, index) => String(index)).join(' ');
    const image = { layers: [[file('text', content)]] };
    const answer = serve([image], ([manifest]) => manifest);
    let cuts = 0;
    await using server = await startOdd((request, response) => {
      if (!isLarge(request, image) || ++cuts > 2) return answer(request, response);
      const blob = blobOf(request, [image]) as Buffer;
      const from = Number(/bytes=(\d+)/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, {
        'content-length': blob.length - from,
        ...(from > 0 && { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` }),
      });
      response.write(blob.subarray(from, from + Math.floor(blob.length / 4)), () => response.destroy());
    });
    const said: ProgressMessage[] = [];
    const { id } = await images.pull(`${server.host}/cut:1`, { onProgress: (message) => said.push(message) });
    assert.deepEqual(await rootfsOf(images, id), { text: content });
    assert.ok(said.some(({ status, id: layer }) => /^Retrying in \d+ seconds$/.test(status ?? '') && layer));
    assert.equal(cuts, 3);
  }));

test('the end of a pull is told in the words that clients know', () =>
  inStore(async ({ images }) => {
    const name = published({ layers: [[file('a', '1')], [file('b', '2')]] });
    const said: string[] = [];
    const onProgress = ({ status = '' }: ProgressMessage): void => void said.push(status);
    await images.pull(`${name}:1`, { onProgress });
    assert.equal(said[0], `Pulling from sample-${made}`);
    for (const [status, count] of [
      ['Pulling fs layer', 2],
      ['Download complete', 2],
      ['Pull complete', 2],
    ] as const)
      assert.equal(said.filter((word) => word === status).length, count, status);
    assert.deepEqual(said.slice(-2), [
      `Digest: ${digestIn(`${name}:1`)}`,
      `Status: Downloaded newer image for ${name}:1`,
    ]);
    said.length = 0;
    await images.pull(`${name}:1`, { onProgress });
    assert.equal(said.filter((word) => word === 'Already exists').length, 2);
    assert.equal(said.at(-1), `Status: Image is up to date for ${name}:1`);
  }));

const tick = (ms = 5): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function blobOf(
  { url = '' }: { readonly url?: string | undefined },
  images: readonly SampleImage[],
): Buffer | undefined {
  const digest = /\/blobs\/sha256:(\w+)$/.exec(url)?.[1];
  return images
    .map((image) => layoutFiles(image).get(`blobs/sha256/${digest}`))
    .find((bytes) => bytes !== undefined);
}

/** Whether the image's layer is asked for. */
function isLarge(request: { readonly url?: string | undefined }, image: SampleImage): boolean {
  return (blobOf(request, [image])?.length ?? 0) > 10_000;
}
