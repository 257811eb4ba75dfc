import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { HyperError } from '../errors.ts';
import { uncompressed } from '../images/layers/decompress.ts';
import type { LayerEntry } from '../images/layers/layer-index.ts';
import { openUrl } from '../open-url.ts';
import { type BuildScope, nowOf } from './build-scope.ts';
import type { CopyFlags } from './dockerfile/instruction.ts';
import { fileNode } from './files/tree-changes.ts';
import { type FoundSource, findSources } from './files/tree-copy.ts';
import { bytesOf } from './files/tree-path.ts';
import { type GitSource, parseGitSource, takeGit } from './git-source.ts';

/** What a COPY or ADD copies: files of a tree, or an archive that is unpacked at the target. */
export type AddedSource =
  | { readonly kind: 'files'; readonly found: readonly FoundSource[]; readonly keepsOwner: boolean }
  | {
      readonly kind: 'archive';
      readonly entries: readonly LayerEntry[];
      readonly layer: number;
      readonly digest: string;
    };

const START_BYTES = 512;

/** What a source of ADD means: the context's files, of which archives are unpacked; a URL; a git repository. */
export async function addSource(
  scope: BuildScope,
  text: string,
  target: string,
  flags: CopyFlags,
): Promise<AddedSource[]> {
  const git = parseGitSource(text);
  if (git) return [await fromGit(scope, git, text, flags)];
  if (/^https?:\/\//i.test(text)) return [await fromUrl(scope, text, target, flags)];
  if (flags.checksum !== undefined)
    throw new HyperError('invalid-argument', `ADD --checksum: "${text}" is no URL`);
  const found = findSources(scope.context, bytesOf(text), text);
  const sources: AddedSource[] = [];
  for (const source of found) {
    const archive = flags.unpack === false ? undefined : await asArchive(scope, source);
    sources.push(archive ?? { kind: 'files', found: [source], keepsOwner: false });
  }
  return sources;
}

/** The file as an archive to unpack: a tar, plain or compressed. undefined: it is none. */
async function asArchive(scope: BuildScope, { node }: FoundSource): Promise<AddedSource | undefined> {
  const { assembly } = scope;
  const { content } = node;
  if (node.type !== 'file' || !content || content.sizeBytes < START_BYTES / 8) return undefined;
  const start = await startOf(uncompressed(assembly.contents.read(content), 'archive'));
  if (!start || !isTarHeader(start)) return undefined;
  const diffId = await assembly.takeContents(
    uncompressed(assembly.contents.read(content), 'archive'),
    'archive',
  );
  const entries = await assembly.entries(diffId);
  return { kind: 'archive', entries, layer: assembly.contents.numberOf(diffId), digest: diffId };
}

/** The first block; undefined where there is none, or what looked compressed is not. */
async function startOf(source: AsyncIterable<Buffer>): Promise<Buffer | undefined> {
  let start = Buffer.alloc(0);
  try {
    for await (const chunk of source) {
      start = Buffer.concat([start, chunk]);
      if (start.length >= START_BYTES) return start.subarray(0, START_BYTES);
    }
  } catch (error) {
    if (!(error instanceof HyperError)) throw error;
  }
  return undefined;
}

function isTarHeader(block: Buffer): boolean {
  const stored = Number.parseInt(block.toString('latin1', 148, 156).replace(/\0.*$/s, '').trim(), 8);
  const sum = block.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  return stored === sum && block[0] !== 0;
}

async function fromUrl(
  scope: BuildScope,
  url: string,
  target: string,
  { checksum }: CopyFlags,
): Promise<AddedSource> {
  const name = posix.basename(new URL(url).pathname);
  if (name === '' && target.endsWith('/'))
    throw new HyperError(
      'invalid-argument',
      `ADD ${url}: cannot determine the name of the file from the URL, and the destination is a directory`,
    );
  if (checksum !== undefined && !/^sha256:[0-9a-f]{64}$/.test(checksum))
    throw new HyperError(
      'invalid-argument',
      `ADD --checksum="${checksum.slice(0, 200)}": want sha256: and 64 hex digits`,
    );
  const body = await openUrl(url, scope.signal);
  try {
    const { content, digest } = await scope.assembly.takeFile(
      body as AsyncIterable<Uint8Array>,
      `ADD ${url}`,
    );
    if (checksum !== undefined && digest !== checksum)
      throw new HyperError('corrupt', `ADD ${url}: digest mismatch: it is ${digest}, expected ${checksum}`);
    const node = fileNode(content, 0o600, nowOf(scope));
    return { kind: 'files', found: [{ path: name, name: bytesOf(name), node }], keepsOwner: false };
  } finally {
    body.destroy();
  }
}

async function fromGit(
  scope: BuildScope,
  source: GitSource,
  text: string,
  { keepGitDirectory }: CopyFlags,
): Promise<AddedSource> {
  const node = await takeGit(source, scope, { keepGitDirectory });
  const name = createHash('sha256').update(text).digest('hex');
  return { kind: 'files', found: [{ path: '', name, node }], keepsOwner: false };
}
