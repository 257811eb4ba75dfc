import { HyperError } from '../../errors.ts';
import type { LayerContents } from '../../images/assembly/layer-contents.ts';
import type { TreeNode } from '../../images/layers/tree.ts';
import type { Owner } from './tree-changes.ts';
import { resolvePath } from './tree-path.ts';

const MAX_FILE_BYTES = 4 << 20;
const MAX_ID = 0xfffffffe;

/** The whole of a small file of a tree; undefined where there is none. */
export async function readSmallFile(
  root: TreeNode,
  path: string,
  contents: LayerContents,
): Promise<Buffer | undefined> {
  const { node } = resolvePath(root, path, { followLast: true });
  if (node?.type !== 'file' || !node.content) return undefined;
  if (node.content.sizeBytes > MAX_FILE_BYTES)
    throw new HyperError(
      'limit',
      `read "${path}": it has ${node.content.sizeBytes} bytes, at most ${MAX_FILE_BYTES} are read`,
    );
  const parts: Buffer[] = [];
  for await (const part of contents.read(node.content)) parts.push(part);
  return Buffer.concat(parts);
}

/**
 * The owner that `USER`, `USER:GROUP` or ids mean in an image, by its /etc/passwd and /etc/group. Throws `invalid-argument` for a name that it does not have.
 */
export async function ownerOf(text: string, root: TreeNode, contents: LayerContents): Promise<Owner> {
  const [user = '', group] = text.split(':');
  const number = numberOf(user);
  const account = number === undefined ? await lineOf(root, contents, '/etc/passwd', user) : undefined;
  if (number === undefined && !account)
    throw new HyperError(
      'invalid-argument',
      `find user "${user.slice(0, 100)}": the image has no such user in /etc/passwd`,
    );
  const uid = number ?? numberOf(account?.[2] ?? '') ?? 0;
  if (group === undefined || group === '') return { uid, gid: number ?? numberOf(account?.[3] ?? '') ?? 0 };
  const groupNumber = numberOf(group);
  const line = groupNumber === undefined ? await lineOf(root, contents, '/etc/group', group) : undefined;
  const gid = groupNumber ?? numberOf(line?.[2] ?? '');
  if (gid === undefined)
    throw new HyperError(
      'invalid-argument',
      `find group "${group.slice(0, 100)}": the image has no such group in /etc/group`,
    );
  return { uid, gid };
}

function numberOf(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined;
}

async function lineOf(
  root: TreeNode,
  contents: LayerContents,
  path: string,
  name: string,
): Promise<string[] | undefined> {
  const text = (await readSmallFile(root, path, contents))?.toString('utf8') ?? '';
  const line = text.split('\n').find((one) => one.startsWith(`${name}:`));
  return line?.trimEnd().split(':');
}
