import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { isHyperError } from '../../errors.ts';
import { uncompressed } from './decompress.ts';

const [first, second] = [Buffer.alloc(300_000, 'a'), Buffer.from('second')];
const whole = Buffer.concat([first, second]);
const xz = (input: Buffer): Buffer => execFileSync('xz', ['-c'], { input });
/** A frame that decompressors pass over: zstd:chunked layers end in one. */
const skippable = Buffer.concat([Buffer.from('502a4d1804000000', 'hex'), Buffer.from('abcd')]);

async function read(data: Buffer, step: number): Promise<Buffer> {
  const pieces = (async function* () {
    for (let at = 0; at < data.length; at += step) yield data.subarray(at, at + step);
  })();
  const chunks: Buffer[] = [];
  for await (const chunk of uncompressed(pieces, 'layer x')) chunks.push(chunk);
  return Buffer.concat(chunks);
}

for (const [what, data] of [
  ['gzip of several members', Buffer.concat([gzipSync(first), gzipSync(second)])],
  ['gzip with zeros behind', Buffer.concat([gzipSync(whole), Buffer.alloc(5000)])],
  ['zstd of several frames', Buffer.concat([zstdCompressSync(first), zstdCompressSync(second)])],
  ['zstd with a skippable frame before', Buffer.concat([skippable, zstdCompressSync(whole)])],
  ['zstd with a skippable frame behind', Buffer.concat([zstdCompressSync(whole), skippable])],
  ['xz of several streams', Buffer.concat([xz(first), xz(second)])],
  ['nothing', whole],
] as const) {
  test(`${what} is undone, in pieces of any size`, async () => {
    for (const step of [7, data.length]) assert.ok((await read(data, step)).equals(whole), `by ${step}`);
  });
}

for (const [what, data] of [
  ['gzip that is cut', gzipSync(whole).subarray(0, -20)],
  ['gzip that is changed', gzipSync(whole).fill(1, 100, 120)],
  ['zstd that is cut', zstdCompressSync(whole).subarray(0, -3)],
  ['xz that is cut', xz(whole).subarray(0, -3)],
] as const) {
  test(`${what} is refused as corrupt, by its name`, async () => {
    for (const step of [7, data.length]) {
      await assert.rejects(
        read(data, step),
        (error) => isHyperError(error, 'corrupt') && error.message.startsWith('unpack layer x: '),
      );
    }
  });
}
