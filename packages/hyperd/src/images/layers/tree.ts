import { HyperError } from '../../errors.ts';
import { NO_XATTRS, type TarEntry, type TarType } from '../../tar/tar-scanner.ts';
import type { LayerEntry } from './layer-index.ts';

/** Where a file's bytes are: in which layer's data, from which block on. */
export interface Content {
  readonly layer: number;
  readonly firstBlock: number;
  readonly sizeBytes: number;
}

/** An inode of the merged file system. Hard links are several names of one node. */
export interface TreeNode {
  readonly type: Exclude<TarType, 'link'>;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  xattrs: ReadonlyMap<string, string>;
  readonly linkName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly content: Content | undefined;
  readonly children: Map<string, TreeNode> | undefined;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
const MAX_LINKS = 40;
const MAX_DEPTH = 4096;
const MAX_NAME = 255;

export function emptyRoot(): TreeNode {
  return directory();
}

export interface ApplyOptions {
  /** It is no layer, and has no whiteouts. */
  readonly plain?: boolean;
  /** What it hides stays told, as overlayfs has it: the tree is to lie over others in a machine. */
  readonly overlay?: boolean;
}

/**
 * Puts a layer over the tree (OCI image-spec, layer.md): first its whiteouts hide what lower layers have, then its entries are added, whatever
 * their order in the archive. Throws `corrupt` for entries that lead out of the root or link to nothing.
 */
export function applyLayer(
  root: TreeNode,
  entries: readonly LayerEntry[],
  layer: number,
  { plain = false, overlay = false }: ApplyOptions = {},
): void {
  if (!plain && !overlay) for (const entry of entries) if (isWhiteout(entry)) hide(root, entry);
  for (const entry of entries) if (plain || !isWhiteout(entry)) add(root, entry, layer);
  if (overlay) for (const entry of entries) if (isWhiteout(entry)) addWhiteout(root, entry);
}

function isWhiteout({ name }: TarEntry): boolean {
  return baseOf(name).startsWith(WHITEOUT);
}

function hide(root: TreeNode, { name }: TarEntry): void {
  const parts = partsOf(name);
  const base = parts.pop() ?? '';
  const parent = walk(root, parts, { make: false });
  if (!parent?.children) return;
  if (base === OPAQUE) parent.children.clear();
  else if (!base.startsWith('.wh..wh.')) parent.children.delete(base.slice(WHITEOUT.length));
}

/** A character device 0:0, or an attribute of the directory (Linux, overlayfs.rst, "whiteouts and opaque directories"). */
function addWhiteout(root: TreeNode, { name }: TarEntry): void {
  const parts = partsOf(name);
  const base = parts.pop() ?? '';
  const parent = walk(root, parts, { make: true });
  if (!parent?.children) return;
  if (base === OPAQUE) parent.xattrs = new Map([...parent.xattrs, ['trusted.overlay.opaque', 'y']]);
  else if (!base.startsWith('.wh..wh.'))
    parent.children.set(base.slice(WHITEOUT.length), {
      ...directory(),
      ...{ type: 'character', mode: 0, children: undefined },
    });
}

function add(root: TreeNode, entry: LayerEntry, layer: number): void {
  const parts = partsOf(entry.name);
  const base = parts.pop();
  if (base === undefined) {
    if (entry.type === 'directory') setAttributes(root, entry);
    return;
  }
  const parent = walk(root, parts, { make: true });
  if (!parent?.children) throw corrupt(`"${printable(entry.name)}" lies in something that is no directory`);
  const existing = parent.children.get(base);
  if (entry.type === 'directory' && existing?.type === 'directory') setAttributes(existing, entry);
  else parent.children.set(base, entry.type === 'link' ? linked(root, entry) : nodeOf(entry, layer));
}

function linked(root: TreeNode, { name, linkName }: TarEntry): TreeNode {
  const parts = partsOf(linkName);
  const base = parts.pop() ?? '';
  const target = walk(root, parts, { make: false })?.children?.get(base);
  if (!target || target.type === 'directory')
    throw corrupt(`hard link "${printable(name)}" leads to "${printable(linkName)}", which is no file`);
  return target;
}

/** What an entry that is no hard link is in a tree. `layer`: which one holds its content. */
export function nodeOf(entry: LayerEntry, layer: number): TreeNode {
  const { mode, uid, gid, mtime, xattrs, linkName, deviceMajor, deviceMinor, sizeBytes, firstBlock } = entry;
  const type = entry.type === 'link' ? 'file' : entry.type;
  return {
    ...{ type, mode, uid, gid, mtime, xattrs, linkName, deviceMajor, deviceMinor },
    content: type === 'file' ? { layer, firstBlock, sizeBytes } : undefined,
    children: type === 'directory' ? new Map() : undefined,
  };
}

function directory(): TreeNode {
  return {
    ...{ type: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: NO_XATTRS, linkName: '' },
    ...{ deviceMajor: 0, deviceMinor: 0, content: undefined, children: new Map<string, TreeNode>() },
  };
}

function setAttributes(node: TreeNode, { mode, uid, gid, mtime, xattrs }: TarEntry): void {
  Object.assign(node, { mode, uid, gid, mtime, xattrs });
}

/**
 * The directory that `parts` lead to, symbolic links resolved inside the tree. With `make`, missing directories come into being; else the result is
 * undefined where there is none.
 */
function walk(root: TreeNode, parts: readonly string[], { make }: { make: boolean }): TreeNode | undefined {
  const stack: TreeNode[] = [root];
  const todo = [...parts].reverse();
  let links = 0;
  while (todo.length > 0) {
    const part = todo.pop() as string;
    const here = stack.at(-1) as TreeNode;
    if (part === '..') {
      if (stack.length > 1) stack.pop(); // only a link's target has them; above the root is the root
      continue;
    }
    let next = here.children?.get(part);
    if (!next && make && here.children) {
      next = directory();
      here.children.set(part, next);
    }
    if (!next) return undefined;
    if (next.type === 'symlink') {
      if (++links > MAX_LINKS) throw corrupt('too many symbolic links in a path');
      if (next.linkName.startsWith('/')) stack.length = 1;
      todo.push(...linkParts(next.linkName).reverse());
    } else stack.push(next);
  }
  return stack.at(-1);
}

function linkParts(target: string): string[] {
  return target.split('/').filter((part) => part !== '' && part !== '.');
}

/** The names on the way to an entry. Throws `corrupt` for a way that leaves the root, or that no kernel could go. */
function partsOf(name: string): string[] {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw corrupt(`the name "${printable(name)}" leads out of the image`);
    if (part.length > MAX_NAME)
      throw corrupt(
        `the name "${printable(part)}" has ${part.length} bytes, at most ${MAX_NAME} are allowed`,
      );
  }
  if (parts.length > MAX_DEPTH) throw corrupt(`a name of ${parts.length} directories`);
  return parts;
}

function baseOf(name: string): string {
  return name.replace(/\/+$/, '').split('/').at(-1) ?? '';
}

function corrupt(what: string): HyperError {
  return new HyperError('corrupt', `read layer: ${what}`);
}

function printable(name: string): string {
  return name.slice(0, 200).replace(/[^ -~]/g, '?');
}
