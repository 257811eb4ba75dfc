import { HyperError, isHyperError } from '../../errors.ts';
import type { ImageAssembly } from '../../images/assembly/assembly.ts';
import { uncompressed } from '../../images/layers/decompress.ts';
import { emptyRoot, type TreeNode } from '../../images/layers/tree.ts';
import { IgnorePatterns } from './ignore-patterns.ts';
import { readSmallFile } from './image-users.ts';
import { bytesOf, joined, textOf } from './tree-path.ts';

/**
 * Takes a build context in: a tar, plain, gzip, bzip2, xz or zstd. It is kept as the contents of its files and a list of its entries, and never unpacked.
 * Throws `invalid-argument` for what is no tar, leads out of it, or has devices; `limit`.
 */
export async function takeContext(
  source: AsyncIterable<Uint8Array>,
  assembly: ImageAssembly,
): Promise<TreeNode> {
  const root = emptyRoot();
  try {
    const plain = uncompressed(source, 'build context');
    await assembly.apply(root, await assembly.takeContents(plain, 'build context'), { plain: true });
  } catch (error) {
    if (isHyperError(error, 'corrupt'))
      throw new HyperError('invalid-argument', error.message, { cause: error });
    throw error;
  }
  refuseDevices(root, '');
  return root;
}

function refuseDevices(node: TreeNode, path: string): void {
  if (node.type === 'character' || node.type === 'block')
    throw new HyperError(
      'invalid-argument',
      `read build context: "${textOf(path)}" is a device, which a context cannot have`,
    );
  for (const [name, child] of node.children ?? []) refuseDevices(child, joined(path, name));
}

/** Takes out of the tree what the context's ignore file names: that of the Dockerfile, or the general one. */
export async function applyIgnoreFile(
  root: TreeNode,
  dockerfile: string,
  assembly: ImageAssembly,
): Promise<void> {
  const { contents } = assembly;
  const own = await readSmallFile(root, bytesOf(`${dockerfile}.dockerignore`), contents);
  const text = own ?? (await readSmallFile(root, '.dockerignore', contents));
  if (!text) return;
  try {
    removeIgnored(root, '', IgnorePatterns.parse(text.toString('utf8')));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new HyperError('invalid-argument', `read .dockerignore: ${error.message}`, { cause: error });
  }
}

/** Whether anything is left below. */
function removeIgnored(node: TreeNode, path: string, patterns: IgnorePatterns): boolean {
  let isLeft = false;
  for (const [name, child] of node.children ?? []) {
    const below = joined(path, name);
    const isIgnored = patterns.ignores(textOf(below));
    const keepsMore =
      child.children && (!isIgnored || patterns.hasExceptions) && removeIgnored(child, below, patterns);
    if (isIgnored && !keepsMore) node.children?.delete(name);
    else isLeft = true;
  }
  return isLeft;
}
