import { createHash, type Hash } from 'node:crypto';
import type { LayerContents } from '../../images/assembly/layer-contents.ts';
import type { TreeNode } from '../../images/layers/tree.ts';
import type { IgnorePatterns } from './ignore-patterns.ts';
import { joined, textOf } from './tree-path.ts';

/** Tells by content whether what is copied has changed: names, kinds, permissions, links and bytes count, times do not. */
export class TreeDigests {
  readonly #contents: LayerContents;
  /** Of files that were read already. */
  readonly #known = new WeakMap<object, string>();
  readonly #withOwners: boolean;

  constructor(contents: LayerContents, { withOwners }: { readonly withOwners: boolean }) {
    this.#contents = contents;
    this.#withOwners = withOwners;
  }

  async of(node: TreeNode, name: string, exclude: IgnorePatterns | undefined): Promise<string> {
    const hash = createHash('sha256');
    await this.#add(hash, node, node.type === 'directory' ? '' : name, exclude);
    return hash.digest('hex');
  }

  async #add(hash: Hash, node: TreeNode, path: string, exclude: IgnorePatterns | undefined): Promise<void> {
    if (path !== '' && exclude?.ignores(textOf(path)) && !(node.children && exclude.hasExceptions)) return;
    const { type, mode, uid, gid, linkName, deviceMajor, deviceMinor, xattrs } = node;
    const owner = this.#withOwners ? [uid, gid] : [];
    hash.update(
      JSON.stringify([path, type, mode, linkName, deviceMajor, deviceMinor, ...owner, [...xattrs]]),
    );
    if (node.content) hash.update(await this.#contentDigest(node.content));
    for (const [name, child] of [...(node.children ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)))
      await this.#add(hash, child, joined(path, name), exclude);
  }

  async #contentDigest(content: NonNullable<TreeNode['content']>): Promise<string> {
    const known = this.#known.get(content);
    if (known !== undefined) return known;
    const hash = createHash('sha256');
    for await (const part of this.#contents.read(content)) hash.update(part);
    const digest = hash.digest('hex');
    this.#known.set(content, digest);
    return digest;
  }
}
