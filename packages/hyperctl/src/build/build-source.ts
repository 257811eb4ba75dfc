import { readFile, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { IgnorePatterns } from '../../../hyperd/src/build/files/ignore-patterns.ts';
import { uniqueName } from '../unique-name.ts';
import { UsageError } from '../usage-error.ts';
import { type ContextFile, packContext } from './pack-context.ts';

/** Where a build comes from, as the daemon takes it. */
export interface BuildSource {
  readonly context?: Readable;
  readonly remote?: string;
  readonly dockerfile?: string;
}

const MAX_DOCKERFILE_BYTES = 4 << 20;
/** Where a tar has its magic. */
const MAGIC_OFFSET = 257;

/** A directory, `-` (a tar or a Dockerfile on stdin), or a URL. `file`: the Dockerfile, `-` for stdin. Throws UsageError. */
export async function buildSource(
  place: string,
  file: string | undefined,
  stdin: Readable,
): Promise<BuildSource> {
  if (place === '-' && file === '-')
    throw new UsageError('stdin cannot be both the context and the Dockerfile');
  if (place === '-') return fromStdin(stdin, file);
  if (/^(?:https?|git|ssh):\/\/|^git@|^github\.com\//.test(place))
    return { remote: place, ...(file !== undefined && { dockerfile: file }) };
  const status = await stat(place).catch((error: Error) => {
    throw new UsageError(`build: read context "${place}": ${error.message}`);
  });
  if (!status.isDirectory()) throw new UsageError(`build: context "${place}" is no directory`);
  return fromDirectory(resolve(place), file, stdin);
}

async function fromDirectory(
  directory: string,
  file: string | undefined,
  stdin: Readable,
): Promise<BuildSource> {
  const inside = file === undefined ? 'Dockerfile' : insidePath(directory, file);
  const extra: ContextFile[] = [];
  let dockerfile = inside;
  if (dockerfile === undefined || file === '-') {
    const content = file === '-' ? await readAll(stdin) : await readFile(file as string);
    dockerfile = `.dockerfile.${uniqueName()}`;
    extra.push({ name: dockerfile, content });
  }
  const ignore = await ignorePatterns(directory, dockerfile);
  const always = new Set([dockerfile, '.dockerignore', `${dockerfile}.dockerignore`]);
  const context = packContext(directory, { ignore, always, extra });
  return { context, ...(file !== undefined && { dockerfile }) };
}

/** The file's path in the directory; undefined: it lies elsewhere. A path is of the working directory, as the shell completes it. */
function insidePath(directory: string, file: string): string | undefined {
  const path = relative(directory, resolve(file));
  return path.startsWith('..') || isAbsolute(path) ? undefined : path;
}

async function ignorePatterns(directory: string, dockerfile: string): Promise<IgnorePatterns | undefined> {
  for (const name of [`${dockerfile}.dockerignore`, '.dockerignore']) {
    let text: string;
    try {
      text = await readFile(join(directory, name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    try {
      return IgnorePatterns.parse(text);
    } catch (error) {
      throw new UsageError(`read ${name}: ${(error as Error).message}`);
    }
  }
  return undefined;
}

/** Compressed data and tars are contexts, anything else is a Dockerfile without one. */
async function fromStdin(stdin: Readable, file: string | undefined): Promise<BuildSource> {
  const iterator = stdin[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let start = Buffer.alloc(0);
  let ended = false;
  while (!ended && start.length < MAGIC_OFFSET + 5) {
    const { done, value } = await iterator.next();
    if (done) ended = true;
    else start = Buffer.concat([start, value]);
  }
  const whole = Readable.from(rest(start, iterator), { objectMode: false });
  if (isArchive(start)) return { context: whole, ...(file !== undefined && { dockerfile: file }) };
  const content = await readAll(whole);
  return {
    context: packContext(undefined, {
      ignore: undefined,
      always: new Set(),
      extra: [{ name: 'Dockerfile', content }],
    }),
  };
}

async function* rest(start: Buffer, iterator: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (start.length > 0) yield start;
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
}

function isArchive(start: Buffer): boolean {
  const magic = start.toString('latin1', 0, 6);
  const isCompressed =
    magic.startsWith('\x1f\x8b') ||
    magic.startsWith('BZh') ||
    magic === '\xfd7zXZ\0' ||
    magic.startsWith('\x28\xb5\x2f\xfd');
  return isCompressed || start.toString('latin1', MAGIC_OFFSET, MAGIC_OFFSET + 5) === 'ustar';
}

async function readAll(source: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of source) {
    parts.push(part as Buffer);
    size += (part as Buffer).length;
    if (size > MAX_DOCKERFILE_BYTES)
      throw new UsageError(`build: a Dockerfile of more than ${MAX_DOCKERFILE_BYTES} bytes`);
  }
  return Buffer.concat(parts);
}
