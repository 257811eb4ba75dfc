import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdtemp, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform, type TransformCallback, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { HyperError, messageOf } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import { type TarEntry, TarScanner } from './tar-scanner.ts';
import { TAR_END, tarHeader, tarPadding } from './tar-writer.ts';
import { applyLayer, emptyRoot, type MergedEntry, mergedEntries } from './tree.ts';

export interface LayerSource {
  /** The blob in the store. */
  readonly path: string;
  readonly digest: Digest;
  /** Digest of its uncompressed tar, as the image's configuration says. */
  readonly diffId: Digest;
}

export interface RootfsRequest {
  /** Bottom layer first. */
  readonly layers: readonly LayerSource[];
  /** File system image to make; it appears whole or not at all. */
  readonly path: string;
  /** Directory for temporary files. */
  readonly temporary: string;
  /** Bound on the uncompressed size of all layers together, in bytes. */
  readonly maxBytes: number;
  readonly onLayer?: (digest: Digest) => void;
  readonly signal?: AbortSignal;
}

/** What squashfs can keep. */
const XATTR_PREFIXES = ['user.', 'trusted.', 'security.'];

/**
 * Merges layers into one read-only squashfs image, as a stream: nothing is unpacked on the host. Each layer is uncompressed once, to a temporary
 * file, while its diff id is verified and its headers are read; then one clean tar goes to tar2sqfs. Resolves with the uncompressed bytes of all layers.
 * Throws `corrupt`, `limit`, `unsupported`, `canceled`, `internal` (tar2sqfs).
 */
export async function buildRootfs(request: RootfsRequest): Promise<number> {
  const work = await mkdtemp(join(request.temporary, 'rootfs-'));
  try {
    const root = emptyRoot();
    let unpackedBytes = 0;
    const files: string[] = [];
    for (const [index, layer] of request.layers.entries()) {
      const file = join(work, String(index));
      const spooled = await spool(layer, file, request.maxBytes - unpackedBytes, request.signal);
      unpackedBytes += spooled.sizeBytes;
      files.push(file);
      inLayer(layer.digest, () => applyLayer(root, spooled.entries, index));
      request.onLayer?.(layer.digest);
    }
    const image = join(work, 'rootfs.sqfs');
    await squash(mergedTar(mergedEntries(root), files), image, request.signal);
    await syncFile(image);
    await rename(image, request.path);
    return unpackedBytes;
  } catch (error) {
    if (request.signal?.aborted) throw new HyperError('canceled', 'make rootfs: canceled', { cause: error });
    throw error;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function spool(
  layer: LayerSource,
  file: string,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<{ entries: TarEntry[]; sizeBytes: number }> {
  const entries: TarEntry[] = [];
  const scanner = new TarScanner((entry) => entries.push(entry));
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const scan = new Transform({
    transform(chunk: Buffer, _, done: TransformCallback) {
      try {
        sizeBytes += chunk.length;
        if (sizeBytes > maxBytes)
          throw new HyperError(
            'limit',
            `unpack layer ${layer.digest}: its image has more than the allowed bytes`,
          );
        hash.update(chunk);
        inLayer(layer.digest, () => scanner.push(chunk));
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const decompress = await decompressor(layer.path);
  const source = createReadStream(layer.path, { highWaterMark: 1 << 18 });
  const target = createWriteStream(file, { highWaterMark: 1 << 20 });
  const options = signal ? { signal } : {};
  try {
    if (decompress) await pipeline(source, decompress, scan, target, options);
    else await pipeline(source, scan, target, options);
  } catch (error) {
    if (error instanceof HyperError || signal?.aborted) throw error;
    throw new HyperError('corrupt', `unpack layer ${layer.digest}: ${messageOf(error)}`, { cause: error });
  }
  inLayer(layer.digest, () => scanner.finish());
  const diffId = `sha256:${hash.digest('hex')}`;
  if (diffId !== layer.diffId)
    throw new HyperError(
      'corrupt',
      `unpack layer ${layer.digest}: diff id is ${diffId}, the image's configuration says ${layer.diffId}`,
    );
  return { entries, sizeBytes };
}

/** Told by the first bytes, not by the media type, which may lie. undefined: plain. */
export async function decompressor(path: string): Promise<Transform | undefined> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return decompressorFor(buffer.subarray(0, bytesRead));
}

export function decompressorFor(start: Buffer): Transform | undefined {
  if (start.length >= 2 && start.readUInt16BE(0) === 0x1f8b) return createGunzip();
  if (start.length >= 4 && start.readUInt32LE(0) === 0xfd2fb528) return createZstdDecompress();
  return undefined;
}

function inLayer(digest: Digest, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (error instanceof HyperError)
      throw new HyperError(error.code, `layer ${digest}: ${error.message}`, { cause: error });
    throw error;
  }
}

async function* mergedTar(entries: readonly MergedEntry[], files: readonly string[]): AsyncGenerator<Buffer> {
  const open_ = new Map<number, FileHandle>();
  try {
    for (const { path, node, linkTo } of entries) {
      const content = linkTo === undefined ? node.content : undefined;
      yield tarHeader({
        name: node.type === 'directory' ? `./${path}${path && '/'}` : path,
        type: linkTo === undefined ? node.type : 'link',
        ...{ mode: node.mode, uid: node.uid, gid: node.gid, mtime: node.mtime },
        ...{ sizeBytes: content?.sizeBytes ?? 0, linkName: linkTo ?? node.linkName },
        ...{ deviceMajor: node.deviceMajor, deviceMinor: node.deviceMinor },
        xattrs: linkTo === undefined ? kept(node.xattrs) : new Map(),
      });
      if (!content || content.sizeBytes === 0) continue;
      let file = open_.get(content.layer);
      if (!file) {
        file = await open(files[content.layer] as string, 'r');
        open_.set(content.layer, file);
      }
      yield* range(file, content.offset, content.sizeBytes);
      yield tarPadding(content.sizeBytes);
    }
    yield TAR_END;
  } finally {
    for (const file of open_.values()) await file.close();
  }
}

async function* range(file: FileHandle, offset: number, sizeBytes: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < sizeBytes; ) {
    const want = Math.min(1 << 20, sizeBytes - done);
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(want), 0, want, offset + done);
    if (bytesRead === 0) throw new HyperError('corrupt', 'read layer: its last file is cut short');
    yield buffer.subarray(0, bytesRead);
    done += bytesRead;
  }
}

function kept(xattrs: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map([...xattrs].filter(([key]) => XATTR_PREFIXES.some((prefix) => key.startsWith(prefix))));
}

async function squash(
  tar: AsyncIterable<Buffer>,
  image: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const child = spawn('tar2sqfs', ['-c', 'lz4', '-q', '-s', '-f', image], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < 64) said.push(chunk);
  });
  const ended = new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, killedBy) => resolve(code ?? String(killedBy)));
  });
  const abort = (): void => void child.kill('SIGKILL');
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const fed = feed(tar, child.stdin);
    const code = await ended;
    const feedError = await fed;
    signal?.throwIfAborted();
    if (feedError instanceof HyperError) throw feedError;
    if (code === 0 && feedError === undefined) return;
    const words = Buffer.concat(said).toString().trim().slice(-1000) || messageOf(feedError ?? '');
    throw new HyperError('internal', `make rootfs: tar2sqfs ended with ${code}: ${words}`);
  } finally {
    signal?.removeEventListener('abort', abort);
    child.kill('SIGKILL');
  }
}

/** Resolves with the error that stopped it, or undefined. */
async function feed(tar: AsyncIterable<Buffer>, stdin: Writable): Promise<unknown> {
  try {
    await pipeline(Readable.from(tar, { highWaterMark: 64 }), stdin);
    return undefined;
  } catch (error) {
    return error;
  }
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.sync();
}
