import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HyperError, isHyperError } from '../errors.ts';
import type { ImageSummary } from '../images/image-service.ts';
import { parseImageFilters, selectImages } from './image-filters.ts';

const image = (digit: string, tags: string[], more: Partial<ImageSummary> = {}): ImageSummary => ({
  ...{ id: `sha256:${digit.repeat(64)}` as never, tags, digests: [], labels: {} },
  ...{ createdAt: new Date(Number(digit) * 1000), sizeBytes: 42, ...more },
});
const images = [
  image('1', ['busybox:latest', 'localhost:5000/team/busybox:1.36'], { labels: { a: '1', b: 'x=y' } }),
  image('2', [], { digests: ['debian@sha256:abc'], labels: { a: '2' } }),
  image('3', []),
];

async function createdAt(reference: string): Promise<Date> {
  const found = images.find(({ tags }) => tags.includes(reference));
  if (found) return found.createdAt;
  if (reference === 'two') return new Date(2000);
  throw new HyperError('not-found', `No such image: ${reference}`);
}

/** The selected images by their digit, with the names that are left. */
async function select(filter: string, filters: string): Promise<string[]> {
  const selected = await selectImages(images, parseImageFilters(filter, filters), createdAt);
  return selected.map(({ id, tags, digests }) => [id[7], ...tags, ...digests].join(' '));
}

const [FIRST, SECOND, THIRD] = [
  '1 busybox:latest localhost:5000/team/busybox:1.36',
  '2 debian@sha256:abc',
  '3',
];
for (const [filter, filters, selected] of [
  ['', '', [FIRST, SECOND, THIRD]],
  ['', '{}', [FIRST, SECOND, THIRD]],
  ['', 'null', [FIRST, SECOND, THIRD]],
  ['busybox', '', ['1 busybox:latest']],
  ['busy*', '', ['1 busybox:latest']],
  ['b*s*x', '', ['1 busybox:latest']],
  ['*box:*', '', ['1 busybox:latest']],
  ['busybox:1.36', '', []],
  ['busyboxes', '', []],
  ['busybo', '', []],
  ['*', '', ['1 busybox:latest', SECOND]],
  ['debian', '', [SECOND]],
  ['localhost:5000/*/busybox', '', ['1 localhost:5000/team/busybox:1.36']],
  ['localhost:5000/*', '', []],
  ['', '{"reference":["busybox:l?test"]}', ['1 busybox:latest']],
  ['', '{"reference":{"busybox":true}}', ['1 busybox:latest']],
  ['debian', '{"reference":["busybox"]}', ['1 busybox:latest', SECOND]],
  ['', '{"dangling":["true"]}', [SECOND, THIRD]],
  ['', '{"dangling":{"0":true}}', [FIRST]],
  ['', '{"label":["a"]}', [FIRST, SECOND]],
  ['', '{"label":["a=2"]}', [SECOND]],
  ['', '{"label":["b=x=y","a"]}', [FIRST]],
  ['', '{"label":["toString"]}', []],
  ['', '{"before":["two"]}', [FIRST]],
  ['', '{"since":["two"]}', [THIRD]],
  ['', '{"since":["busybox:latest"],"dangling":["true"]}', [SECOND, THIRD]],
] as const) {
  test(`image filter "${filter}" ${filters} selects ${selected.join(', ') || 'nothing'}`, async () => {
    assert.deepEqual(await select(filter, filters), selected);
  });
}

for (const filters of ['{"size":["1"]}', 'nonsense', '["reference"]', '{"dangling":["maybe"]}']) {
  test(`image filters ${filters} are refused`, async () => {
    await assert.rejects(select('', filters), (error) => isHyperError(error, 'invalid-argument'));
  });
}

test('an unknown image to compare with is not-found', async () => {
  await assert.rejects(select('', '{"before":["nope"]}'), (error) => isHyperError(error, 'not-found'));
});
