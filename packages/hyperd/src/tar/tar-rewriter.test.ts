import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { rewriteTar } from './tar-rewriter.ts';
import { type TarEntry, TarScanner } from './tar-scanner.ts';
import { TAR_END, tarHeader, tarPadding } from './tar-writer.ts';

const base: TarEntry = {
  ...{ name: 'f', type: 'file', mode: 0o644, uid: 1, gid: 2, sizeBytes: 3, mtime: 50, linkName: '' },
  ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map([['user.x', 'y']]) },
};
const whole = Buffer.concat([
  tarHeader(base),
  Buffer.from('abc'),
  tarPadding(3),
  TAR_END,
  Buffer.alloc(512, 'junk'),
]);

async function rewritten(tar: Buffer, step: number, latestMtime?: number, maxBytes = 100): Promise<Buffer> {
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let at = 0; at < tar.length; at += step) yield tar.subarray(at, at + step);
  }
  const parts: Buffer[] = [];
  for await (const part of rewriteTar(pieces(), { what: 'pack', maxBytes, latestMtime })) parts.push(part);
  return Buffer.concat(parts);
}

test('what a tar holds is the same afterwards, in pieces of any size, without what follows its end; times are cut', async () => {
  for (const step of [1, 100, 511, 10_000]) {
    const entries: TarEntry[] = [];
    let data = '';
    const scanner = new TarScanner({
      onEntry: (entry) => entries.push(entry),
      onData: (chunk) => (data += chunk.toString()),
    });
    const tar = await rewritten(whole, step, 40);
    scanner.push(tar);
    assert.deepEqual([entries, data], [[{ ...base, mtime: 40 }], 'abc']);
    assert.equal(tar.includes('junk'), false);
  }
});

test('a header that promises too much is refused before its content comes; damage and a cut are', async () => {
  const large = tarHeader({ ...base, sizeBytes: 2 ** 40 });
  await assert.rejects(
    rewritten(large, 512),
    (error) => isHyperError(error, 'limit') && /^pack: /.test(error.message),
  );
  await assert.rejects(rewritten(Buffer.alloc(512, 'x'), 512), (error) => isHyperError(error, 'corrupt'));
  await assert.rejects(rewritten(whole.subarray(0, 1025), 512), (error) => isHyperError(error, 'corrupt'));
});
