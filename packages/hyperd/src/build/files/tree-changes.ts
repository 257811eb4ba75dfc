import { HyperError } from '../../errors.ts';
import type { LayerContents } from '../../images/assembly/layer-contents.ts';
import type { TreeNode } from '../../images/layers/tree.ts';
import type { TarEntry } from '../../tar/tar-scanner.ts';
import { TAR_END, tarHeader, tarPadding } from '../../tar/tar-writer.ts';
import { joined, namesOf, parentOf, printable } from './tree-path.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Changes of a tree, gathered for a layer. Paths are real ones: links in them have been followed. */
export class TreeChanges {
  readonly root: TreeNode;
  /** Seconds since the epoch, for what comes into being. */
  readonly #now: number;
  readonly #changed = new Set<string>();

  constructor(root: TreeNode, now: number) {
    this.root = root;
    this.#now = now;
  }

  get isEmpty(): boolean {
    return this.#changed.size === 0;
  }

  at(path: string): TreeNode | undefined {
    let node: TreeNode | undefined = this.root;
    for (const name of namesOf(path)) node = node?.children?.get(name);
    return node;
  }

  /** Makes the directory and what is missing above it. Throws `invalid-argument` where something else is in the way. */
  makeDirectories(path: string, owner: Owner, mode = 0o755): TreeNode {
    let node = this.root;
    let here = '';
    for (const name of namesOf(path)) {
      here = joined(here, name);
      const next = node.children?.get(name);
      if (next && next.type !== 'directory')
        throw new HyperError(
          'invalid-argument',
          `create directory "/${printable(here)}": a ${next.type} is in the way`,
        );
      node = next ?? this.put(here, directoryNode({ ...owner, mode, mtime: this.#now }));
    }
    return node;
  }

  /** Puts a node in place of whatever is there; its directory has to exist. */
  put(path: string, node: TreeNode): TreeNode {
    const directory = this.at(parentOf(path));
    const name = namesOf(path).at(-1);
    if (!directory?.children || name === undefined)
      throw new HyperError('invalid-argument', `write "/${printable(path)}": its directory is none`);
    directory.children.set(name, node);
    this.#changed.add(path);
    return node;
  }

  /** The node's attributes have been changed. */
  touch(path: string): void {
    if (path !== '') this.#changed.add(path);
  }

  /** The changes as a layer's tar, with the directories above what has changed, in the order of the names. */
  async *tar(contents: LayerContents): AsyncGenerator<Buffer> {
    const seen = new Map<TreeNode, string>();
    for (const path of this.#paths()) {
      const node = this.at(path);
      if (!node) continue;
      const first = node.type === 'directory' ? undefined : seen.get(node);
      yield tarHeader(entryOf(path, node, first));
      if (first !== undefined) continue;
      seen.set(node, path);
      if (!node.content || node.content.sizeBytes === 0) continue;
      yield* contents.read(node.content);
      yield tarPadding(node.content.sizeBytes);
    }
    yield TAR_END;
  }

  #paths(): string[] {
    const paths = new Set<string>();
    for (const path of this.#changed)
      for (let at = path; at !== '' && !paths.has(at); at = parentOf(at)) paths.add(at);
    const keys = [...paths].map((path) => path.replaceAll('/', '\0')).sort(); // what lies below comes right behind
    return keys.map((key) => key.replaceAll('\0', '/'));
  }
}

export function directoryNode({
  mode,
  uid,
  gid,
  mtime,
}: Owner & { readonly mode: number; readonly mtime: number }): TreeNode {
  return {
    ...{ type: 'directory', mode, uid, gid, mtime, xattrs: new Map(), linkName: '' },
    ...{ deviceMajor: 0, deviceMinor: 0, content: undefined, children: new Map() },
  };
}

/** A file that comes from elsewhere than a tree; root's. */
export function fileNode(content: TreeNode['content'], mode: number, mtime: number): TreeNode {
  return {
    ...{ type: 'file', mode, uid: 0, gid: 0, mtime, xattrs: new Map(), linkName: '' },
    ...{ deviceMajor: 0, deviceMinor: 0, content, children: undefined },
  };
}

function entryOf(path: string, node: TreeNode, first: string | undefined): TarEntry {
  const { type, mode, uid, gid, mtime, xattrs, deviceMajor, deviceMinor } = node;
  return {
    ...{ name: type === 'directory' ? `${path}/` : path, type: first === undefined ? type : 'link' },
    ...{ mode, uid, gid, mtime, deviceMajor, deviceMinor },
    xattrs: first === undefined ? xattrs : new Map(),
    linkName: first ?? node.linkName,
    sizeBytes: first === undefined ? (node.content?.sizeBytes ?? 0) : 0,
  };
}
