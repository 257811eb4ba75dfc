import { HyperError } from '../errors.ts';
import type { ImageAssembly } from '../images/assembly/assembly.ts';
import { compressionOf } from '../images/layers/decompress.ts';
import { emptyRoot, type TreeNode } from '../images/layers/tree.ts';
import { openUrl } from '../open-url.ts';
import type { BuildRequest } from './build-request.ts';
import type { Dockerfile } from './dockerfile/instruction.ts';
import { parseDockerfile } from './dockerfile/parse-dockerfile.ts';
import { applyIgnoreFile, takeContext } from './files/build-context.ts';
import { readSmallFile } from './files/image-users.ts';
import { bytesOf } from './files/tree-path.ts';
import { parseGitSource, takeGit } from './git-source.ts';

const DEFAULT_NAMES = ['Dockerfile', 'dockerfile'];
const MAX_DOCKERFILE_BYTES = 4 << 20;
/** Where a tar has its magic. */
const MAGIC_OFFSET = 257;

export interface ContextPlace {
  readonly assembly: ImageAssembly;
  /** Where a repository may be fetched to. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

export interface OpenedContext {
  readonly dockerfile: Dockerfile;
  /** Without what the ignore file names. */
  readonly context: TreeNode;
}

/** Takes the context in, wherever it comes from, and reads its Dockerfile. */
export async function openContext(request: BuildRequest, place: ContextPlace): Promise<OpenedContext> {
  const { remote = '', body } = request;
  const git = remote === '' ? undefined : parseGitSource(remote);
  if (git) return fromTree(await takeGit(git, place), request, place);
  if (remote !== '') return fromUrl(remote, request, place);
  return fromTree(await takeContext(body, place.assembly), request, place);
}

async function fromTree(
  context: TreeNode,
  { dockerfile: name }: BuildRequest,
  { assembly }: ContextPlace,
): Promise<OpenedContext> {
  for (const path of name ? [name] : DEFAULT_NAMES) {
    const bytes = await readSmallFile(context, bytesOf(path), assembly.contents);
    if (!bytes) continue;
    const dockerfile = parseDockerfile(bytes.toString('utf8'));
    await applyIgnoreFile(context, path, assembly);
    return { dockerfile, context };
  }
  throw new HyperError('invalid-argument', `Cannot locate specified Dockerfile: ${name || DEFAULT_NAMES[0]}`);
}

/** A tar is a context, anything else a Dockerfile without one. */
async function fromUrl(url: string, request: BuildRequest, place: ContextPlace): Promise<OpenedContext> {
  const source = await openUrl(url, place.signal);
  try {
    const { compression, bytes } = await compressionOf(source as AsyncIterable<Uint8Array>);
    if (compression) return await fromTree(await takeContext(bytes, place.assembly), request, place);
    const { start, rest } = await startOf(bytes);
    if (start.toString('latin1', MAGIC_OFFSET, MAGIC_OFFSET + 5) === 'ustar')
      return await fromTree(await takeContext(rest, place.assembly), request, place);
    const parts: Buffer[] = [];
    let size = 0;
    for await (const part of rest) {
      size += part.length;
      if (size > MAX_DOCKERFILE_BYTES)
        throw new HyperError('limit', `read ${url}: a Dockerfile of more than ${MAX_DOCKERFILE_BYTES} bytes`);
      parts.push(part);
    }
    return { dockerfile: parseDockerfile(Buffer.concat(parts).toString('utf8')), context: emptyRoot() };
  } finally {
    source.destroy();
  }
}

/** Enough to see what it is, and all of it. */
async function startOf(
  bytes: AsyncGenerator<Buffer>,
): Promise<{ readonly start: Buffer; readonly rest: AsyncGenerator<Buffer> }> {
  let start = Buffer.alloc(0);
  while (start.length < MAGIC_OFFSET + 5) {
    const { done, value } = await bytes.next();
    if (done) break;
    start = Buffer.concat([start, value]);
  }
  async function* whole(): AsyncGenerator<Buffer> {
    if (start.length > 0) yield start;
    yield* bytes;
  }
  return { start, rest: whole() };
}
