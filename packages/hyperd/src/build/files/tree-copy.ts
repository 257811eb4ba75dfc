import { HyperError } from '../../errors.ts';
import type { TreeNode } from '../../images/layers/tree.ts';
import type { FileMode } from './file-mode.ts';
import { Glob, isPattern } from './glob.ts';
import type { IgnorePatterns } from './ignore-patterns.ts';
import { directoryNode, type Owner, type TreeChanges } from './tree-changes.ts';
import { baseName, joined, namesOf, parentOf, printable, resolvePath, textOf } from './tree-path.ts';

export interface CopyRules {
  /** Whom the copies belong to; undefined: to whom the originals do. */
  readonly owner: Owner | undefined;
  /** Whom new directories above the copies belong to. */
  readonly parentOwner: Owner;
  readonly mode: FileMode | undefined;
  readonly exclude: IgnorePatterns | undefined;
  /** The directories on the way to a source are kept in the target (`--parents`). */
  readonly parents: boolean;
  /** Links in the target's path mean nothing: the layer has to fit any image (`--link`). */
  readonly literal: boolean;
}

/** A file or directory to copy from a tree. */
export interface FoundSource {
  /** Real path in the source tree. */
  readonly path: string;
  /** What `--parents` keeps of it, where that is not all: the part behind `/./`. */
  readonly keptPath?: string;
  readonly node: TreeNode;
  /** Of the last name as it was asked for: a link's own. */
  readonly name: string;
}

/** What `pattern` means in a tree: one path, or all that match. Throws `not-found` for a path that is not there. */
export function findSources(tree: TreeNode, pattern: string, shown: string): FoundSource[] {
  const pivot = pattern.indexOf('/./');
  if (pivot < 0) return findAll(tree, pattern, shown);
  const { path: above } = resolvePath(tree, pattern.slice(0, pivot), { followLast: true });
  return findAll(tree, pattern, shown).map((source) =>
    source.path.startsWith(`${above}/`)
      ? { ...source, keptPath: source.path.slice(above.length + 1) }
      : source,
  );
}

function findAll(tree: TreeNode, pattern: string, shown: string): FoundSource[] {
  const names = namesOf(pattern);
  const first = names.findIndex(isPattern);
  if (first < 0) {
    const { path, node } = resolvePath(tree, pattern, { followLast: true });
    if (!node) throw new HyperError('not-found', `failed to compute cache key: "${shown}": not found`);
    return [{ path, node, name: baseName(pattern) }];
  }
  const start = resolvePath(tree, names.slice(0, first).join('/'), { followLast: true });
  const glob = globOf(names.slice(first).join('/'), shown);
  const depth = names.length - first;
  return [...walk(start.node, '', depth)]
    .filter(({ path }) => glob.matches(path))
    .map(({ path }) => {
      const real = resolvePath(tree, joined(start.path, path), { followLast: true });
      if (!real.node)
        throw new HyperError('not-found', `"${printable(joined(start.path, path))}": not found`);
      return { path: real.path, node: real.node, name: baseName(path) };
    });
}

function globOf(pattern: string, shown: string): Glob {
  try {
    return new Glob(pattern, { deep: pattern.includes('**') });
  } catch (error) {
    throw new HyperError('invalid-argument', `read "${shown}": ${(error as RangeError).message}`, {
      cause: error,
    });
  }
}

/** Everything below a directory, in order; not deeper than a pattern of that many names can reach. */
function* walk(
  node: TreeNode | undefined,
  path: string,
  depth: number,
): Generator<{ readonly path: string }> {
  for (const [name, child] of [...(node?.children ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const below = joined(path, name);
    yield { path: below };
    if (child.children && namesOf(below).length < depth) yield* walk(child, below, depth);
  }
}

/** Copies between trees as BuildKit's COPY does. Names are bytes in latin1. */
export class TreeCopy {
  readonly #changes: TreeChanges;
  readonly #rules: CopyRules;
  /** Hard links stay so within one copy. */
  readonly #copied = new Map<TreeNode, TreeNode>();

  constructor(changes: TreeChanges, rules: CopyRules) {
    this.#changes = changes;
    this.#rules = rules;
  }

  /**
   * Copies one source to a target, which ends in a slash where it is a directory. Of a directory its content is copied. Throws `invalid-argument` where a file
   * and a directory are in each other's way.
   */
  copy({ path, keptPath = path, node, name }: FoundSource, target: string): void {
    const isDirectory = node.type === 'directory';
    const kept = this.#rules.parents ? parentOf(keptPath) : '';
    let place = this.#resolve(target);
    if (kept !== '') place = this.#keepParents(kept, place);
    const existing = this.#changes.at(place);
    if (this.#rules.parents || (!isDirectory && (target.endsWith('/') || existing?.type === 'directory')))
      place = joined(place, name);
    if (!isDirectory && this.#isExcluded(name)) return;
    this.#changes.makeDirectories(isDirectory ? place : parentOf(place), this.#rules.parentOwner);
    if (isDirectory) this.#copyChildren(node, '', place);
    else this.#put(node, place);
  }

  #resolve(target: string): string {
    if (this.#rules.literal) return namesOf(target).join('/');
    return resolvePath(this.#changes.root, target, { followLast: true }).path;
  }

  /** Directories on the way to the source come along, as they are there. */
  #keepParents(kept: string, place: string): string {
    const parent = joined(place, kept);
    this.#changes.makeDirectories(parent, this.#rules.parentOwner);
    return parent;
  }

  #copyChildren(from: TreeNode, below: string, place: string): void {
    for (const [name, child] of from.children ?? []) {
      const path = joined(below, name);
      const target = joined(place, name);
      if (child.type === 'directory') this.#copyDirectory(child, path, target);
      else if (!this.#isExcluded(path)) this.#put(child, target);
    }
  }

  #copyDirectory(from: TreeNode, path: string, target: string): void {
    const isExcluded = this.#isExcluded(path);
    if (isExcluded && !this.#rules.exclude?.hasExceptions) return;
    if (!isExcluded) this.#putDirectory(from, target);
    else if (!this.#hasExceptions(from, path)) return;
    else this.#changes.makeDirectories(target, this.#rules.parentOwner);
    this.#copyChildren(from, path, target);
  }

  #putDirectory(from: TreeNode, target: string): void {
    const existing = this.#changes.at(target);
    if (existing && existing.type !== 'directory')
      throw new HyperError(
        'invalid-argument',
        `copy to "/${printable(target)}": cannot copy a directory to a non-directory`,
      );
    const attributes = this.#attributesOf(from);
    if (existing) {
      Object.assign(existing, attributes);
      this.#changes.touch(target);
    } else this.#changes.put(target, { ...directoryNode(attributes), xattrs: from.xattrs });
  }

  #put(from: TreeNode, target: string): void {
    const existing = this.#changes.at(target);
    if (existing?.type === 'directory')
      throw new HyperError(
        'invalid-argument',
        `copy to "/${printable(target)}": cannot replace a directory with a file`,
      );
    const known = this.#copied.get(from);
    const copy = known ?? { ...from, ...this.#attributesOf(from) };
    this.#copied.set(from, copy);
    this.#changes.put(target, copy);
  }

  #attributesOf(
    from: TreeNode,
  ): Owner & { readonly mode: number; readonly mtime: number; readonly xattrs: TreeNode['xattrs'] } {
    const { mode, mtime, xattrs, type } = from;
    const { uid, gid } = this.#rules.owner ?? from;
    const changed = type === 'symlink' ? undefined : this.#rules.mode?.(mode, type === 'directory');
    return { uid, gid, mode: changed ?? mode, mtime, xattrs };
  }

  #isExcluded(path: string): boolean {
    return this.#rules.exclude?.ignores(textOf(path)) ?? false;
  }

  #hasExceptions(node: TreeNode, path: string): boolean {
    for (const [name, child] of node.children ?? []) {
      const below = joined(path, name);
      if (!this.#isExcluded(below) || this.#hasExceptions(child, below)) return true;
    }
    return false;
  }
}
