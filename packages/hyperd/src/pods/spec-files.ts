import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { HyperError, messageOf } from '../errors.ts';
import { openUrl } from '../open-url.ts';
import { TAR_END, tarHeader, tarPadding } from '../tar/tar-writer.ts';
import type { ContainerSpec, FileReference, FileSpec, PodSpec } from './spec/pod-spec.ts';

/** Bound on one file, in bytes. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const FETCH_TIMEOUT_MS = 60_000;

/**
 * The files that a specification gives a container, as a tar that is unpacked at its root before its first start; undefined where there are none.
 * Throws `invalid-spec` for what cannot be had, naming the file.
 */
export async function filesTar(pod: PodSpec, container: ContainerSpec): Promise<Buffer | undefined> {
  if (container.files.length === 0) return undefined;
  const parts: Buffer[] = [];
  for (const reference of container.files) {
    const file = reference.detail ?? pod.files.find(({ name }) => name === reference.filename);
    if (!file)
      throw new HyperError('invalid-spec', `file ${reference.filename} does not exist in file list.`);
    const content = await contentOf(file, reference.filename);
    parts.push(headerOf(reference, content.length), content, tarPadding(content.length));
  }
  return Buffer.concat([...parts, TAR_END]);
}

function headerOf(reference: FileReference, sizeBytes: number): Buffer {
  const { path, filename, perm, user, group } = reference;
  const target = path.endsWith('/') ? `${path}${filename}` : path;
  const name = Buffer.from(target.replace(/^\/+/, '')).toString('latin1');
  return tarHeader({
    ...{
      name,
      type: 'file',
      mode: Number.parseInt(perm, 8),
      sizeBytes,
      mtime: Math.floor(Date.now() / 1000),
    },
    ...{ uid: idOf(user, 'user', filename), gid: idOf(group, 'group', filename) },
    ...{ linkName: '', deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
  });
}

function idOf(text: string, what: string, filename: string): number {
  if (text === '' || text === 'root') return 0;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new HyperError(
    'invalid-spec',
    `file ${filename}: ${what} "${text}" is no number; want a numeric id or root`,
  );
}

async function contentOf(file: FileSpec, filename: string): Promise<Buffer> {
  if (file.uri) return fetched(file.uri, filename);
  if (file.encoding !== 'base64') return Buffer.from(file.content);
  const text = file.content.replace(/\s/g, '');
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text))
    throw new HyperError('invalid-spec', `file ${filename}: its content is not base64`);
  return Buffer.from(text, 'base64');
}

async function fetched(uri: string, filename: string): Promise<Buffer> {
  try {
    if (!uri.startsWith('file:'))
      return await collect(await openUrl(uri, AbortSignal.timeout(FETCH_TIMEOUT_MS)), uri);
    await using file = await open(fileURLToPath(uri), 'r');
    if (!(await file.stat()).isFile()) throw new HyperError('invalid-spec', `"${uri}" is no regular file`);
    return await collect(file.createReadStream({ autoClose: false }), uri);
  } catch (error) {
    throw new HyperError('invalid-spec', `file ${filename}: ${messageOf(error)}`, { cause: error });
  }
}

async function collect(source: AsyncIterable<unknown>, uri: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_FILE_BYTES)
      throw new HyperError(
        'invalid-spec',
        `"${uri}" has more than ${MAX_FILE_BYTES} bytes, the most that a file may have`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
