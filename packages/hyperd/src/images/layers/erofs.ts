import type { FileHandle } from 'node:fs/promises';
import { HyperError } from '../../errors.ts';
import { BLOCK_BYTES } from './layer-index.ts';
import type { TreeNode } from './tree.ts';

// The on-disk format is that of the Linux kernel's fs/erofs/erofs_fs.h, without compression and with 64-byte inodes only.
const MAGIC = 0xe0f5e1e2;
const SUPER_OFFSET = 1024;
const SUPER_BYTES = 128;
const SLOT_BYTES = 32;
const INODE_BYTES = 64;
const DIRENT_BYTES = 12;
const XATTR_HEADER_BYTES = 12;
const XATTR_ENTRY_BYTES = 4;
/** Of one inode: counted in words, in 16 bits. */
const MAX_XATTR_BYTES = 0xfffe * 4;
const PLAIN = 0;
const INLINE = 2;
const WRITE_BYTES = 1 << 20;

const FILE_TYPE = { file: 1, directory: 2, character: 3, block: 4, fifo: 5, symlink: 7 } as const;
const MODE_TYPE = {
  ...{ file: 0o100000, directory: 0o040000, character: 0o020000, block: 0o060000, fifo: 0o010000 },
  symlink: 0o120000,
} as const;
/** Prefixes of extended attributes that the format has a number for; others are not kept. */
const XATTR_PREFIXES: readonly (readonly [string, number])[] = [
  ['user.', 1],
  ['trusted.', 4],
  ['security.', 6],
];
const XATTR_NAMES: Readonly<Record<string, number>> = {
  'system.posix_acl_access': 2,
  'system.posix_acl_default': 3,
};

// There are as many inodes as files: what is empty is shared.
const NO_BYTES = Buffer.alloc(0);
const NO_BLOCKS: readonly (readonly Name[])[] = [];

/** A name in a directory. */
interface Name {
  readonly name: string;
  readonly inode: Inode;
}

/** A node of the tree on its way to its place in the image. */
interface Inode {
  readonly node: TreeNode;
  readonly number: number;
  links: number;
  readonly xattrs: Buffer;
  /** Of a directory: sorted, with `.` and `..`, packed into blocks. */
  blocks: readonly (readonly Name[])[];
  /** What the inode holds itself: bytes of a directory or a symbolic link. */
  readonly sizeBytes: number;
  /** How many of these stand right behind the inode. */
  inlineBytes: number;
  /** Byte offset of the inode, and first block of what does not stand behind it. */
  offset: number;
  firstBlock: number;
}

/** Where the contents of files are: layers one behind the other. */
export interface ContentLayout {
  /** First block of each layer. */
  readonly layerBases: readonly number[];
  /** Of all layers. */
  readonly contentBlocks: number;
}

/**
 * Writes the metadata of a file system (EROFS, Linux 5.4 and later) for `root`: super block, inodes, directories, links. The contents of files are
 * not in it: they are expected behind it, the blocks of layer n from block `result + layerBases[n]` on, where `result` is the number of blocks written.
 * Throws `limit` where the image outgrows the format.
 */
export async function writeErofs(
  file: FileHandle,
  root: TreeNode,
  { layerBases, contentBlocks }: ContentLayout,
): Promise<number> {
  const inodes = collectInodes(root);
  const metadataBlocks = place(inodes);
  const image = new BlockWriter(file);
  await image.at(SUPER_OFFSET, superBlock(inodes, metadataBlocks + contentBlocks));
  for (const inode of inodes) {
    await image.at(inode.offset, inodeBytes(inode, metadataBlocks, layerBases));
    await image.at(inode.offset + INODE_BYTES, inode.xattrs);
    if (inode.inlineBytes > 0)
      await image.at(inode.offset + INODE_BYTES + inode.xattrs.length, lastPart(inode));
  }
  for (const inode of inodes) {
    if (inode.sizeBytes === inode.inlineBytes) continue;
    const parts = inode.inlineBytes > 0 ? contentParts(inode).slice(0, -1) : contentParts(inode);
    for (const [index, part] of parts.entries())
      await image.at((inode.firstBlock + index) * BLOCK_BYTES, part);
  }
  await image.end(metadataBlocks * BLOCK_BYTES);
  return metadataBlocks;
}

/** All inodes, the root first; hard links are one inode of several names. */
function collectInodes(root: TreeNode): Inode[] {
  const known = new Map<TreeNode, Inode>();
  const inodes: Inode[] = [];
  const inodeOf = (node: TreeNode): Inode => {
    const found = known.get(node);
    if (found) return found;
    const inode: Inode = {
      ...{ node, number: inodes.length + 1, links: 0, xattrs: xattrBytes(node), blocks: NO_BLOCKS },
      ...{ sizeBytes: node.type === 'symlink' ? node.linkName.length : 0 },
      ...{ inlineBytes: 0, offset: 0, firstBlock: 0 },
    };
    known.set(node, inode);
    inodes.push(inode);
    return inode;
  };
  const pending: { inode: Inode; parent: Inode }[] = [];
  const first = inodeOf(root);
  pending.push({ inode: first, parent: first });
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { inode, parent } = next;
    const names: Name[] = [
      { name: '.', inode },
      { name: '..', inode: parent },
    ];
    inode.links++;
    parent.links++;
    for (const [name, node] of inode.node.children ?? []) {
      const child = inodeOf(node);
      names.push({ name, inode: child });
      child.links++;
      if (node.type === 'directory') pending.push({ inode: child, parent: inode });
    }
    names.sort((a, b) => (a.name < b.name ? -1 : 1)); // latin1: the order of the bytes, which look-ups rely on
    setBlocks(inode, names);
  }
  return inodes;
}

/** Fills blocks with names, as many as fit, and tells the directory's size. */
function setBlocks(inode: Inode, names: readonly Name[]): void {
  const blocks: Name[][] = [];
  let used = BLOCK_BYTES;
  for (const name of names) {
    const bytes = DIRENT_BYTES + name.name.length;
    if (used + bytes > BLOCK_BYTES) {
      blocks.push([]);
      used = 0;
    }
    blocks.at(-1)?.push(name);
    used += bytes;
  }
  inode.blocks = blocks;
  Object.assign(inode, { sizeBytes: (blocks.length - 1) * BLOCK_BYTES + used });
}

/** Gives every inode its place; returns how many blocks that takes. */
function place(inodes: readonly Inode[]): number {
  let end = SUPER_OFFSET + SUPER_BYTES;
  for (const inode of inodes) {
    const tail = inode.sizeBytes % BLOCK_BYTES;
    const fixed = INODE_BYTES + inode.xattrs.length;
    inode.inlineBytes = fixed + tail <= BLOCK_BYTES ? tail : 0;
    const bytes = fixed + inode.inlineBytes;
    let offset = roundUp(end, SLOT_BYTES);
    // What stands behind an inode must not reach into another block.
    if ((offset % BLOCK_BYTES) + bytes > BLOCK_BYTES) offset = roundUp(offset, BLOCK_BYTES);
    inode.offset = offset;
    end = offset + bytes;
  }
  let block = Math.ceil(end / BLOCK_BYTES);
  for (const inode of inodes) {
    inode.firstBlock = block;
    block += Math.ceil((inode.sizeBytes - inode.inlineBytes) / BLOCK_BYTES);
  }
  return block;
}

function superBlock(inodes: readonly Inode[], blocks: number): Buffer {
  const bytes = Buffer.alloc(SUPER_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt8(Math.log2(BLOCK_BYTES), 12);
  bytes.writeUInt16LE((inodes[0] as Inode).offset / SLOT_BYTES, 14);
  bytes.writeBigUInt64LE(BigInt(inodes.length), 16);
  bytes.writeUInt32LE(blocks, 36);
  return bytes;
}

function inodeBytes(inode: Inode, metadataBlocks: number, layerBases: readonly number[]): Buffer {
  const { node } = inode;
  const bytes = Buffer.alloc(INODE_BYTES);
  const layout = inode.inlineBytes > 0 ? INLINE : PLAIN;
  bytes.writeUInt16LE(1 | (layout << 1), 0);
  if (inode.xattrs.length > 0) bytes.writeUInt16LE(1 + (inode.xattrs.length - XATTR_HEADER_BYTES) / 4, 2);
  bytes.writeUInt16LE(MODE_TYPE[node.type] | node.mode, 4);
  bytes.writeBigUInt64LE(BigInt(node.content?.sizeBytes ?? inode.sizeBytes), 8);
  bytes.writeUInt32LE(addressOf(inode, metadataBlocks, layerBases), 16);
  bytes.writeUInt32LE(inode.number, 20);
  bytes.writeUInt32LE(node.uid >>> 0, 24);
  bytes.writeUInt32LE(node.gid >>> 0, 28);
  bytes.writeBigInt64LE(BigInt(node.mtime), 32);
  bytes.writeUInt32LE(inode.links, 44);
  return bytes;
}

/** Of a file, directory or link its first block, of a device its number (Linux's new_encode_dev). */
function addressOf(
  { node, firstBlock }: Inode,
  metadataBlocks: number,
  layerBases: readonly number[],
): number {
  if (node.type === 'character' || node.type === 'block') {
    const { deviceMajor: major, deviceMinor: minor } = node;
    return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0;
  }
  if (!node.content || node.content.sizeBytes === 0) return node.type === 'file' ? 0 : firstBlock;
  const address = metadataBlocks + (layerBases[node.content.layer] ?? 0) + node.content.firstBlock;
  if (address > 0xffffffff) throw new HyperError('limit', 'make rootfs: the image has more than 16 TiB');
  return address;
}

/** A directory's or link's bytes, cut into blocks. */
function contentParts(inode: Inode): Buffer[] {
  if (inode.node.type === 'directory') return inode.blocks.map(direntBlock);
  const bytes = Buffer.from(inode.node.linkName, 'latin1');
  const parts: Buffer[] = [];
  for (let at = 0; at < inode.sizeBytes; at += BLOCK_BYTES) parts.push(bytes.subarray(at, at + BLOCK_BYTES));
  return parts;
}

function lastPart(inode: Inode): Buffer {
  if (inode.node.type === 'directory') return direntBlock(inode.blocks.at(-1) ?? []);
  return Buffer.from(inode.node.linkName, 'latin1').subarray(inode.sizeBytes - inode.inlineBytes);
}

function direntBlock(names: readonly Name[]): Buffer {
  const heads = Buffer.alloc(names.length * DIRENT_BYTES);
  let nameOffset = heads.length;
  for (const [index, { name, inode }] of names.entries()) {
    const at = index * DIRENT_BYTES;
    heads.writeBigUInt64LE(BigInt(inode.offset / SLOT_BYTES), at);
    heads.writeUInt16LE(nameOffset, at + 8);
    heads.writeUInt8(FILE_TYPE[inode.node.type], at + 10);
    nameOffset += name.length;
  }
  return Buffer.concat([heads, Buffer.from(names.map(({ name }) => name).join(''), 'latin1')]);
}

function xattrBytes({ xattrs }: TreeNode): Buffer {
  if (xattrs.size === 0) return NO_BYTES;
  const entries = Buffer.concat([...xattrs].flatMap(([key, value]) => xattrEntry(key, value)));
  if (entries.length > MAX_XATTR_BYTES)
    throw new HyperError('limit', `make rootfs: extended attributes of ${entries.length} bytes on one file`);
  return entries.length === 0 ? NO_BYTES : Buffer.concat([Buffer.alloc(XATTR_HEADER_BYTES), entries]);
}

function xattrEntry(key: string, value: string): Buffer[] {
  const [prefix, index] = XATTR_PREFIXES.find(([start]) => key.startsWith(start)) ?? [key, XATTR_NAMES[key]];
  if (index === undefined) return [];
  const name = key.slice(prefix.length);
  if (name.length > 255 || value.length > 0xffff)
    throw new HyperError(
      'limit',
      `make rootfs: extended attribute of ${key.length} and ${value.length} bytes`,
    );
  const bytes = Buffer.alloc(roundUp(XATTR_ENTRY_BYTES + name.length + value.length, 4));
  bytes.writeUInt8(name.length, 0);
  bytes.writeUInt8(index, 1);
  bytes.writeUInt16LE(value.length, 2);
  bytes.write(name, XATTR_ENTRY_BYTES, 'latin1');
  bytes.write(value, XATTR_ENTRY_BYTES + name.length, 'latin1');
  return [bytes];
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** Writes pieces in ascending order of their offsets, zeros between them, in large steps. */
class BlockWriter {
  readonly #file: FileHandle;
  #parts: Buffer[] = [];
  #waiting = 0;
  #position = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async at(offset: number, bytes: Buffer): Promise<void> {
    const end = this.#position + this.#waiting;
    if (offset > end) this.#push(Buffer.alloc(offset - end));
    this.#push(bytes);
    if (this.#waiting >= WRITE_BYTES) await this.#flush();
  }

  async end(sizeBytes: number): Promise<void> {
    await this.at(sizeBytes, Buffer.alloc(0));
    await this.#flush();
  }

  #push(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#parts.push(bytes);
    this.#waiting += bytes.length;
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#waiting = 0;
    await this.#file.appendFile(bytes);
    this.#position += bytes.length;
  }
}
