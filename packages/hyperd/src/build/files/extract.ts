import { HyperError } from '../../errors.ts';
import type { LayerEntry } from '../../images/layers/layer-index.ts';
import { nodeOf, type TreeNode } from '../../images/layers/tree.ts';
import { directoryNode, type Owner, type TreeChanges } from './tree-changes.ts';
import { bytesOf, joined, namesOf, parentOf, printable, resolvePath } from './tree-path.ts';

/** Unpacks an archive's entries below a target, as tar does: directories that are there get the archive's attributes, all else is replaced. */
export async function extractInto(
  changes: TreeChanges,
  entries: readonly LayerEntry[],
  layer: number,
  {
    target,
    owner,
    parentOwner,
  }: { readonly target: string; readonly owner: Owner | undefined; readonly parentOwner: Owner },
): Promise<void> {
  const base = resolvePath(changes.root, bytesOf(target), { followLast: true }).path;
  changes.makeDirectories(base, parentOwner);
  for (const entry of entries) {
    if (namesOf(entry.name).includes('..'))
      throw new HyperError('invalid-argument', `unpack archive: "${printable(entry.name)}" leads out of it`);
    const path = namesOf(entry.name).join('/');
    if (path === '') continue;
    const parent = resolvePath(changes.root, joined(base, parentOf(path)), { followLast: true }).path;
    changes.makeDirectories(parent, parentOwner);
    place(changes, entry, layer, { base, path: joined(parent, namesOf(path).at(-1) ?? ''), owner });
  }
}

function place(
  changes: TreeChanges,
  entry: LayerEntry,
  layer: number,
  { base, path, owner }: { readonly base: string; readonly path: string; readonly owner: Owner | undefined },
): void {
  const { mode, mtime, xattrs } = entry;
  const { uid, gid } = owner ?? entry;
  const existing = changes.at(path);
  if (entry.type === 'directory' && existing?.type === 'directory') {
    Object.assign(existing, { mode, mtime, xattrs, uid, gid });
    changes.touch(path);
  } else if (entry.type === 'directory')
    changes.put(path, { ...directoryNode({ mode, mtime, uid, gid }), xattrs });
  else if (entry.type === 'link') changes.put(path, linked(changes, entry, base));
  else changes.put(path, { ...nodeOf(entry, layer), uid, gid });
}

function linked(changes: TreeChanges, { linkName, name }: LayerEntry, base: string): TreeNode {
  const { node } = resolvePath(changes.root, joined(base, linkName), { followLast: false });
  if (node && node.type !== 'directory' && !namesOf(linkName).includes('..')) return node;
  throw new HyperError(
    'invalid-argument',
    `unpack archive: hard link "${printable(name)}" leads to "${printable(linkName)}", which is no file`,
  );
}
