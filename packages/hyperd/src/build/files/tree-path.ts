import { HyperError } from '../../errors.ts';
import type { TreeNode } from '../../images/layers/tree.ts';

const MAX_LINKS = 255;

/** Where a path leads in a tree, symbolic links followed inside of it. Names are bytes in latin1. */
export interface Place {
  /** Without the links, no slash in front; empty: the root. Names behind what is missing are as they were given. */
  readonly path: string;
  /** undefined: nothing is there. */
  readonly node: TreeNode | undefined;
}

/** `followLast`: a link at the end is followed, too. Throws `invalid-argument` for links that lead round. */
export function resolvePath(
  root: TreeNode,
  path: string,
  { followLast }: { readonly followLast: boolean },
): Place {
  const names: string[] = [];
  const nodes: (TreeNode | undefined)[] = [root];
  const todo = namesOf(path).reverse();
  for (let links = 0; todo.length > 0; ) {
    const name = todo.pop() as string;
    if (name === '..') {
      if (names.length > 0) nodes.pop();
      names.pop();
      continue;
    }
    const node = nodes.at(-1)?.children?.get(name);
    if (node?.type === 'symlink' && (todo.length > 0 || followLast)) {
      if (++links > MAX_LINKS)
        throw new HyperError('invalid-argument', `follow "${printable(path)}": too many symbolic links`);
      if (node.linkName.startsWith('/')) {
        names.length = 0;
        nodes.length = 1;
      }
      todo.push(...namesOf(node.linkName).reverse());
      continue;
    }
    names.push(name);
    nodes.push(node);
  }
  return { path: names.join('/'), node: nodes.at(-1) };
}

export function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/** The last name of a path; empty for the root. */
export function baseName(path: string): string {
  return namesOf(path).at(-1) ?? '';
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

export function joined(directory: string, name: string): string {
  if (directory === '') return name;
  return name === '' ? directory : `${directory}/${name}`;
}

/** Text as trees have it: every byte of its UTF-8 is one character. */
export function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The other way. */
export function textOf(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

export function printable(bytes: string): string {
  return textOf(bytes)
    .slice(0, 200)
    .replace(/\p{Cc}/gu, '?');
}
