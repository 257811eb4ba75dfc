import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ErrorCode, isHyperError } from '../errors.ts';
import { type TarEntry, TarScanner } from './tar-scanner.ts';
import { TAR_END, tarHeader, tarPadding } from './tar-writer.ts';

function scan(archive: Buffer, step = archive.length || 1): TarEntry[] {
  return scanWithData(archive, step).map(({ entry }) => entry);
}

function scanWithData(archive: Buffer, step = archive.length || 1): { entry: TarEntry; data: Buffer }[] {
  const found: { entry: TarEntry; data: Buffer }[] = [];
  const scanner = new TarScanner({
    onEntry: (entry) => found.push({ entry, data: Buffer.alloc(0) }),
    onData(chunk) {
      const last = found.at(-1);
      assert.ok(last && chunk.length > 0);
      last.data = Buffer.concat([last.data, chunk]);
    },
  });
  for (let at = 0; at < archive.length; at += step) scanner.push(archive.subarray(at, at + step));
  scanner.finish();
  return found;
}

const plain: TarEntry = {
  ...{ name: 'file', type: 'file', mode: 0o644, uid: 0, gid: 0, sizeBytes: 0, mtime: 0, linkName: '' },
  ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map<string, string>() },
};
const byte = fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code));
const name = fc.string({ unit: byte, minLength: 1, maxLength: 300 }).filter((text) => !text.endsWith('/'));

test('every entry comes back from an archive, with any bytes in its names, in pieces of any size', () => {
  const entry = fc.record(
    {
      name,
      type: fc.constantFrom('file', 'symlink', 'directory', 'character', 'fifo', 'link'),
      mode: fc.integer({ min: 0, max: 0o7777 }),
      uid: fc.integer({ min: 0, max: 2 ** 31 }),
      gid: fc.integer({ min: 0, max: 2 ** 31 }),
      mtime: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      linkName: fc.string({ unit: byte, minLength: 1, maxLength: 200 }),
      deviceMajor: fc.integer({ min: 0, max: 4095 }),
      deviceMinor: fc.integer({ min: 0, max: 65535 }),
      xattrs: fc.dictionary(
        fc.stringMatching(/^user\.[a-z]{1,10}$/),
        fc.string({ unit: byte, maxLength: 50 }),
        {
          maxKeys: 3,
          noNullPrototype: true,
        },
      ),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(entry, fc.uint8Array({ maxLength: 1500 })), { maxLength: 5 }),
      fc.integer({ min: 1, max: 2000 }),
      (samples, step) => {
        const expected = samples.map(([head, data]) => ({
          ...head,
          xattrs: new Map(Object.entries(head.xattrs)),
          sizeBytes: head.type === 'file' ? data.length : 0,
        }));
        const archive = Buffer.concat([
          ...expected.flatMap((head, i) => {
            const data = Buffer.from((samples[i] as [unknown, Uint8Array])[1].subarray(0, head.sizeBytes));
            return [tarHeader(head), data, tarPadding(data.length)];
          }),
          TAR_END,
        ]);
        const found = scanWithData(archive, step).map(({ entry: one, data }, i) => {
          const sent = (samples[i] as [unknown, Uint8Array])[1].subarray(0, one.sizeBytes);
          assert.ok(data.equals(Buffer.from(sent)));
          return one;
        });
        assert.deepEqual(found, expected);
      },
    ),
    { numRuns: 200 },
  );
});

test('random bytes are refused with a typed error, whatever they are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 2000 }), (bytes) => {
      try {
        scan(Buffer.from(bytes));
      } catch (error) {
        assert.ok(isHyperError(error), String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test('what follows the end of an archive does not count', () => {
  const archive = Buffer.concat([tarHeader(plain), TAR_END, Buffer.from('anything at all')]);
  assert.deepEqual(
    scan(archive).map(({ name: found }) => found),
    ['file'],
  );
});

test('a size beyond 8 GiB is read from a pax header and in base 256', () => {
  const sizeBytes = 9 * 1024 ** 3;
  const base256 = tarHeader({ ...plain, sizeBytes: 0 });
  base256.writeUInt32BE(0x80000000, 124);
  base256.writeBigUInt64BE(BigInt(sizeBytes), 128);
  base256.write('        ', 148);
  const sum = base256.reduce((total, value) => total + value, 0);
  base256.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  for (const header of [tarHeader({ ...plain, sizeBytes }), base256]) {
    const sizes: number[] = [];
    new TarScanner({ onEntry: (entry) => sizes.push(entry.sizeBytes) }).push(header);
    assert.deepEqual(sizes, [sizeBytes]);
  }
});

test('a pax record without a value leaves the header its own', () => {
  const [entry] = scan(Buffer.concat([pax('8 path=\n9 mtime=\n'), tarHeader({ ...plain, mtime: 7 })]));
  assert.deepEqual([entry?.name, entry?.mtime], [plain.name, 7]);
});

test('a changed byte in a header is found', () => {
  const archive = Buffer.concat([
    tarHeader({ ...plain, sizeBytes: 5 }),
    Buffer.from('hello'),
    tarPadding(5),
    TAR_END,
  ]);
  for (let at = 0; at < 512; at++) {
    if (at === 154 || at === 155) continue; // what ends the checksum's digits
    const damaged = Buffer.from(archive);
    damaged[at] = (damaged[at] as number) ^ 0x01;
    assert.throws(
      () => scan(damaged),
      (error) => isHyperError(error, 'corrupt'),
      `byte ${at}`,
    );
  }
});

const pax = (text: string): Buffer => {
  const data = Buffer.from(text, 'latin1');
  const head = tarHeader({ ...plain, name: 'pax', sizeBytes: data.length });
  head.write('x', 156);
  head.write('        ', 148);
  head.write(
    `${head
      .reduce((sum, value) => sum + value, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return Buffer.concat([head, data, tarPadding(data.length)]);
};

for (const [what, archive, code] of [
  [
    'an archive that is cut in a file',
    Buffer.concat([tarHeader({ ...plain, sizeBytes: 5000 }), Buffer.alloc(100)]),
    'corrupt',
  ],
  ['an archive that is cut in a header', tarHeader(plain).subarray(0, 300), 'corrupt'],
  ['a pax record whose length lies', Buffer.concat([pax('99 path=x\n'), tarHeader(plain)]), 'corrupt'],
  ['a pax record without a length', Buffer.concat([pax('path=x\n'), tarHeader(plain)]), 'corrupt'],
  ['a negative size', Buffer.concat([pax('12 size=-5\n\n'.slice(0, 11)), tarHeader(plain)]), 'corrupt'],
  ['a size that is no number', Buffer.concat([pax('12 size=abc\n'), tarHeader(plain)]), 'corrupt'],
  ['a sparse file', Buffer.concat([pax('22 GNU.sparse.major=1\n'), tarHeader(plain)]), 'unsupported'],
  [
    'a time beyond all file systems',
    Buffer.concat([pax('32 mtime=9999999999999999999999\n'), tarHeader(plain)]),
    'corrupt',
  ],
  [
    'a user id that would be cut to root',
    Buffer.concat([pax('18 uid=4294967296\n'), tarHeader(plain)]),
    'corrupt',
  ],
  ['a group id of -1', Buffer.concat([pax('10 gid=-1\n'), tarHeader(plain)]), 'corrupt'],
  ['a symbolic link to nothing', tarHeader({ ...plain, type: 'symlink' }), 'corrupt'],
  [
    'a symbolic link to a name that no kernel takes',
    tarHeader({ ...plain, type: 'symlink', linkName: 'x'.repeat(4096) }),
    'corrupt',
  ],
  ['a name with a NUL byte', Buffer.concat([pax('12 path=a\0b\n'), tarHeader(plain)]), 'corrupt'],
] as const satisfies readonly (readonly [string, Buffer, ErrorCode])[]) {
  test(`${what} is refused as ${code}`, () => {
    assert.throws(
      () => scan(archive),
      (error) => isHyperError(error, code),
    );
  });
}
