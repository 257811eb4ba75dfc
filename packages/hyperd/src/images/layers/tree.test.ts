import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../../errors.ts';
import type { TarType } from '../../tar/tar-scanner.ts';
import type { LayerEntry } from './layer-index.ts';
import { applyLayer, emptyRoot, type TreeNode } from './tree.ts';

function entry(
  name: string,
  type: TarType = 'file',
  linkName = '',
  more: Partial<LayerEntry> = {},
): LayerEntry {
  return {
    ...{
      name,
      type,
      linkName,
      mode: type === 'directory' ? 0o755 : 0o644,
      uid: 0,
      gid: 0,
      sizeBytes: 1,
      mtime: 0,
    },
    ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map(), firstBlock: 0, ...more },
  };
}
const dir = (name: string): LayerEntry => entry(name, 'directory');

function merge(...layers: LayerEntry[][]): string[] {
  const root = emptyRoot();
  layers.forEach((entries, index) => {
    applyLayer(root, entries, index);
  });
  return lines(root).sort();
}

/** A line for every name: what it is, and for the further names of a node the first one. */
function lines(root: TreeNode): string[] {
  const first = new Map<TreeNode, string>();
  const describe = (path: string, node: TreeNode): string => {
    const known = first.get(node);
    if (known !== undefined) return `${path} = ${known}`;
    first.set(node, path);
    if (node.type === 'symlink') return `${path} -> ${node.linkName}`;
    return node.type === 'file' ? `${path} @${node.content?.layer}` : `${path}/`;
  };
  const walk = (path: string, node: TreeNode): string[] =>
    [...(node.children ?? [])].flatMap(([name, child]) => {
      const below = path === '' ? name : `${path}/${name}`;
      return [describe(below, child), ...walk(below, child)];
    });
  return walk('', root);
}

const cases: readonly (readonly [string, LayerEntry[][], string[]])[] = [
  ['a later layer wins', [[entry('a')], [entry('a')]], ['a @1']],
  ['missing parents come into being', [[entry('x/y/z')]], ['x/', 'x/y/', 'x/y/z @0']],
  [
    'a leading slash and dots mean nothing',
    [[entry('/a'), entry('./b'), entry('c/./d')]],
    ['a @0', 'b @0', 'c/', 'c/d @0'],
  ],
  ['dots that stay inside are followed', [[entry('a/../b/c')]], ['b/', 'b/c @0']],
  [
    'an entry that comes twice counts once',
    [[entry('a'), entry('b', 'link', 'a'), entry('a')]],
    ['a @0', 'b @0'],
  ],
  ['a whiteout hides what is below', [[entry('d/a'), entry('d/b')], [entry('d/.wh.a')]], ['d/', 'd/b @0']],
  ['a whiteout hides a directory', [[entry('d/a')], [entry('.wh.d')]], []],
  ['a whiteout hides nothing of its own layer', [[entry('a')], [entry('a'), entry('.wh.a')]], ['a @1']],
  ['a whiteout of nothing is passed over', [[entry('.wh.none'), entry('no/dir/.wh.x')]], []],
  ['other whiteout names are no files', [[entry('.wh..wh.plnk'), entry('a')]], ['a @0']],
  [
    'an opaque directory hides what is below, whatever the order',
    [
      [entry('d/old'), entry('d/sub/old')],
      [entry('d/new'), entry('d/sub/new'), entry('d/.wh..wh..opq')],
    ],
    ['d/', 'd/new @1', 'd/sub/', 'd/sub/new @1'],
  ],
  ['a directory keeps its content when it comes again', [[entry('d/a')], [dir('d')]], ['d/', 'd/a @0']],
  ['a file replaces a directory', [[entry('d/a')], [entry('d')]], ['d @1']],
  ['a directory replaces a file', [[entry('d')], [dir('d'), entry('d/a')]], ['d/', 'd/a @1']],
  ['a hard link is another name', [[entry('a'), entry('b', 'link', 'a')]], ['a @0', 'b = a']],
  ['a hard link leads to a lower layer', [[entry('a')], [entry('b', 'link', 'a')]], ['a @0', 'b = a']],
  [
    'a hard link stays whole when its first name goes',
    [[entry('a'), entry('b', 'link', 'a')], [entry('.wh.a')]],
    ['b @0'],
  ],
  [
    'a hard link stays what it was when its first name is replaced',
    [[entry('a'), entry('b', 'link', '/a')], [entry('a')]],
    ['a @1', 'b @0'],
  ],
  [
    'a parent that is a link is followed inside the image',
    [[dir('usr/lib'), entry('lib', 'symlink', '/usr/lib')], [entry('lib/x')]],
    ['lib -> /usr/lib', 'usr/', 'usr/lib/', 'usr/lib/x @1'],
  ],
  [
    'a link that climbs above the root stays in it',
    [[entry('up', 'symlink', '../../../../etc'), entry('up/passwd')]],
    ['etc/', 'etc/passwd @0', 'up -> ../../../../etc'],
  ],
];
for (const [name, layers, expected] of cases) {
  test(name, () => assert.deepEqual(merge(...layers), expected));
}

const refused: readonly (readonly [string, LayerEntry[]])[] = [
  ['a name that leads out', [entry('../evil')]],
  ['a name that leads out in the middle', [entry('a/../../evil')]],
  ['a name that no kernel takes', [entry('x'.repeat(256))]],
  ['a hard link to nothing', [entry('b', 'link', 'nothing')]],
  ['a hard link that leads out', [entry('b', 'link', '../../etc/shadow')]],
  ['a hard link to a directory', [dir('d'), entry('b', 'link', 'd')]],
  ['a file below a file', [entry('a'), entry('a/b')]],
  ['links in a circle', [entry('a', 'symlink', 'b'), entry('b', 'symlink', 'a'), entry('a/x')]],
];
for (const [name, entries] of refused) {
  test(`${name} is refused`, () => {
    assert.throws(
      () => merge(entries),
      (error) => isHyperError(error, 'corrupt'),
    );
  });
}

test('the attributes of the last layer count, also of the root', () => {
  const root = emptyRoot();
  applyLayer(
    root,
    [entry('./', 'directory', '', { mode: 0o700, uid: 5 }), entry('d', 'directory', '', { gid: 1 })],
    0,
  );
  applyLayer(root, [entry('d/', 'directory', '', { gid: 2, mode: 0o2755 })], 1);
  assert.deepEqual([root.mode, root.uid], [0o700, 5]);
  const d = root.children?.get('d');
  assert.deepEqual([d?.gid, d?.mode], [2, 0o2755]);
});

test('a layer that is to lie over others tells what it hides as overlayfs reads it', () => {
  const root = emptyRoot();
  applyLayer(root, [dir('d'), entry('d/.wh..wh..opq'), entry('d/new'), entry('.wh.gone')], 0, {
    overlay: true,
  });
  const gone = root.children?.get('gone');
  assert.deepEqual([gone?.type, gone?.deviceMajor, gone?.deviceMinor], ['character', 0, 0]);
  const d = root.children?.get('d');
  assert.deepEqual(
    [[...(d?.xattrs ?? [])], [...(d?.children?.keys() ?? [])]],
    [[['trusted.overlay.opaque', 'y']], ['new']],
  );
});
