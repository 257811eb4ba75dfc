import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { layerTar, type LayerEntry as Sample } from '../../../../../test/support/images.ts';
import { writeRootfs } from '../../../../../test/support/rootfs.ts';

/** Extracts an image with the file system's own tools, which check it as well. */
async function extracted(
  layers: readonly (readonly Sample[])[],
  look: (tree: string) => void,
): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'erofs-'));
  try {
    const image = join(work, 'image');
    await writeRootfs(
      image,
      layers.map((entries) => layerTar(entries)),
    );
    const tree = join(work, 'tree');
    execFileSync('fsck.erofs', [`--extract=${tree}`, '--no-preserve-owner', '--no-preserve-perms', image], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    look(tree);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const file = (name: string, data: string): Sample => ({ name, type: 'file', data });

test('contents of all sizes come back, on block borders and beyond', () => {
  const sizes = [0, 1, 4095, 4096, 4097, 8192, 100_000];
  return extracted([sizes.map((size) => file(`f${size}`, 'x'.repeat(size)))], (tree) => {
    for (const size of sizes) assert.equal(readFileSync(join(tree, `f${size}`), 'latin1'), 'x'.repeat(size));
  });
});

test('a directory of many blocks has every name, whatever its bytes', () => {
  const names = Array.from({ length: 3000 }, (_, index) => `${index}-\xff\x01 ${'n'.repeat(index % 200)}`);
  return extracted([names.map((name) => file(`d/${name}`, name))], (tree) => {
    const found = readdirSync(Buffer.from(join(tree, 'd')), { encoding: 'latin1' });
    assert.deepEqual([...found].sort(), [...names].sort());
  });
});

test('links lead where they should, hard links are one file', () =>
  extracted(
    [
      [
        file('a', 'content'),
        { name: 'b', type: 'link', linkName: 'a' },
        { name: 'short', type: 'symlink', linkName: '../x' },
        { name: 'long', type: 'symlink', linkName: '/y'.repeat(2000) },
      ],
    ],
    (tree) => {
      assert.equal(lstatSync(join(tree, 'a')).size, 7);
      assert.equal(readFileSync(join(tree, 'b'), 'latin1'), 'content');
      assert.equal(readlinkSync(join(tree, 'short')), '../x');
      assert.equal(readlinkSync(join(tree, 'long')), '/y'.repeat(2000));
    },
  ));

test('any tree of any layers comes back as the last layer left it', () => {
  const name = fc
    .array(fc.stringMatching(/^[ab!~]{1,3}$/), { minLength: 1, maxLength: 3 })
    .map((parts) => parts.join('/'));
  const layer = fc.uniqueArray(fc.tuple(name, fc.nat({ max: 9000 })), {
    maxLength: 8,
    selector: ([path]) => path,
  });
  return fc.assert(
    fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 3 }), async (layers) => {
      const expected = new Map<string, string>();
      const kept = layers.map((entries) =>
        entries.filter(([path, size]) => {
          // Of two names of which one lies in the other only the first is taken: a file has nothing in it.
          for (const other of expected.keys())
            if (other.startsWith(`${path}/`) || path.startsWith(`${other}/`)) return false;
          expected.set(path, String(size).repeat(size).slice(0, size));
          return true;
        }),
      );
      await extracted(
        kept.map((entries) =>
          entries.map(([path, size]) => file(path, String(size).repeat(size).slice(0, size))),
        ),
        (tree) => {
          for (const [path, content] of expected)
            assert.equal(readFileSync(join(tree, path), 'latin1'), content);
        },
      );
    }),
    { numRuns: 25 },
  );
});
