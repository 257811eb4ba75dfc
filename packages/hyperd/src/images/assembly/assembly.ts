import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import { type Descriptor, MAX_CONFIG_BYTES } from '../../oci/documents.ts';
import { TAR_END, tarHeader, tarPadding } from '../../tar/tar-writer.ts';
import { chainIdOf, digestOf } from '../digest.ts';
import { readStoredImage, type StoredImage } from '../image-files.ts';
import type { RootfsLease } from '../image-service.ts';
import { writeImage } from '../image-writing.ts';
import type { LayerEntry } from '../layers/layer-index.ts';
import type { LayerStore } from '../layers/layer-store.ts';
import { UnpackBudget } from '../layers/layer-writer.ts';
import { applyLayer, type Content, emptyRoot, type TreeNode } from '../layers/tree.ts';
import type { LayerChain, RootfsImages } from '../rootfs-images.ts';
import type { ContentStore } from '../store/content-store.ts';
import type { HoldSet } from '../store/holds.ts';
import type { ImageRecord } from '../store/image-records.ts';
import { LayerContents } from './layer-contents.ts';
import { type ImageLayer, type TakeOptions, takeLayer } from './layer-sink.ts';

/** An image to build on. */
export interface BaseImage {
  readonly id: Digest;
  /** Its configuration as it is (OCI image-spec, config.md). */
  readonly config: Readonly<Record<string, unknown>>;
  readonly layers: readonly ImageLayer[];
}

/** A layer that an earlier assembly has made. */
export interface KnownLayer {
  readonly diffId: Digest;
  readonly blob: Descriptor;
}

/** A file that was taken in by itself. */
export interface TakenFile {
  readonly content: Content;
  readonly digest: Digest;
}

/**
 * Images in the making: layers are taken in and looked into, and put together. What it has taken in or looked up is not collected until it is disposed of;
 * what has not become an image by then is garbage.
 */
export interface ImageAssembly extends AsyncDisposable {
  /** By reference or id. Throws `not-found`. */
  image(reference: string): Promise<BaseImage>;
  /** The uncompressed tar of a layer, from wherever: it is written anew. Rejects `corrupt`, `unsupported`, `limit`. */
  takeLayer(tar: AsyncIterable<Uint8Array>, options: TakeOptions): Promise<ImageLayer>;
  /** A tar that is to be read only: it becomes no part of an image. */
  takeContents(tar: AsyncIterable<Buffer>, what: string): Promise<Digest>;
  /** A file that is to be read only. */
  takeFile(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, what: string): Promise<TakenFile>;
  /** What a layer or taken tar has in it. */
  entries(diffId: Digest): Promise<readonly LayerEntry[]>;
  /** undefined where it is no longer there. */
  layer(known: KnownLayer): Promise<ImageLayer | undefined>;
  /** The merged file system of layers, bottom first; the caller's own to change. */
  tree(layers: readonly ImageLayer[]): Promise<TreeNode>;
  /** Puts a layer over a tree. `plain`: names of whiteouts are names of files. */
  apply(tree: TreeNode, diffId: Digest, options?: { readonly plain: boolean }): Promise<void>;
  /** What the files of the trees hold. */
  readonly contents: LayerContents;
  /** The layers as a disk. */
  rootfs(layers: readonly ImageLayer[], signal?: AbortSignal): Promise<RootfsLease>;
  /** One layer as a disk that is to lie over others. */
  layerDisk(layer: ImageLayer, signal?: AbortSignal): Promise<RootfsLease>;
  /** Makes the image, with the names; `config` lacks only the list of layers. Resolves with its id. */
  finish(config: object, layers: readonly ImageLayer[], names: readonly string[]): Promise<Digest>;
}

export interface AssemblyParts {
  readonly store: ContentStore;
  readonly layers: LayerStore;
  readonly rootfs: RootfsImages;
  readonly held: HoldSet;
  readonly maxBytes: number;
  readonly find: (reference: string) => ImageRecord;
  /** Makes an image visible. */
  readonly publish: (image: StoredImage, names: readonly string[]) => void;
}

export class Assembly implements ImageAssembly {
  readonly contents: LayerContents;
  readonly #parts: AssemblyParts;
  readonly #blobs = new Set<Promise<Descriptor>>();

  constructor(parts: AssemblyParts) {
    this.#parts = parts;
    this.contents = new LayerContents(parts.layers);
  }

  async image(reference: string): Promise<BaseImage> {
    const { find, held, layers, store } = this.#parts;
    const { id, manifestDigest } = find(reference);
    for (const digest of [id, manifestDigest]) await held.hold(digest);
    const image = await readStoredImage(store, manifestDigest);
    const { diff_ids: diffIds } = image.config.rootfs;
    for (const digest of [...diffIds, ...image.manifest.layers.map((layer) => layer.digest)])
      await held.hold(digest);
    await this.#parts.rootfs.unpack(image, new AbortController().signal);
    const raw = JSON.parse((await store.read(id, MAX_CONFIG_BYTES)).toString()) as Record<string, unknown>;
    return {
      ...{ id, config: raw },
      layers: diffIds.map((diffId, index) => ({
        ...{ diffId, tarBytes: layers.info(diffId)?.tarBytes ?? 0, isEmpty: false },
        blob: Promise.resolve(image.manifest.layers[index] as Descriptor),
      })),
    };
  }

  async takeLayer(tar: AsyncIterable<Uint8Array>, options: TakeOptions): Promise<ImageLayer> {
    const layer = await takeLayer(tar, options, this.#parts);
    this.#blobs.add(layer.blob);
    return layer;
  }

  async takeContents(tar: AsyncIterable<Buffer>, what: string): Promise<Digest> {
    const { layers, held, maxBytes } = this.#parts;
    await using draft = await layers.draft(new UnpackBudget(maxBytes), what);
    for await (const chunk of tar) await draft.write(chunk);
    const { diffId } = await draft.commit(undefined, (id) => held.hold(id));
    return diffId;
  }

  async takeFile(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, what: string): Promise<TakenFile> {
    const path = join(this.#parts.store.temporary, `file-${randomUUID()}`);
    const hash = createHash('sha256');
    let sizeBytes = 0;
    try {
      await using file = await open(path, 'wx', 0o600);
      for await (const chunk of source) {
        hash.update(chunk);
        sizeBytes += chunk.length;
        if (sizeBytes > this.#parts.maxBytes)
          throw new HyperError('limit', `${what}: more than ${this.#parts.maxBytes} bytes`);
        await file.appendFile(chunk);
      }
      const diffId = await this.takeContents(fileTar(path, sizeBytes), what);
      const content = { layer: this.contents.numberOf(diffId), firstBlock: 0, sizeBytes };
      return { content, digest: `sha256:${hash.digest('hex')}` as Digest };
    } finally {
      await rm(path, { force: true });
    }
  }

  entries(diffId: Digest): Promise<readonly LayerEntry[]> {
    return this.#parts.layers.index(diffId);
  }

  async layer({ diffId, blob }: KnownLayer): Promise<ImageLayer | undefined> {
    const { layers, held, store } = this.#parts;
    await held.hold(diffId);
    await held.hold(blob.digest);
    if (!(await store.has(blob.digest, blob.size)) || !(await layers.has(diffId))) return undefined;
    const tarBytes = layers.info(diffId)?.tarBytes ?? 0;
    return { diffId, tarBytes, isEmpty: false, blob: Promise.resolve(blob) };
  }

  async tree(layers: readonly ImageLayer[]): Promise<TreeNode> {
    const root = emptyRoot();
    for (const { diffId } of layers) await this.apply(root, diffId);
    return root;
  }

  async apply(tree: TreeNode, diffId: Digest, options?: { readonly plain: boolean }): Promise<void> {
    applyLayer(tree, await this.#parts.layers.index(diffId), this.contents.numberOf(diffId), options);
  }

  rootfs(layers: readonly ImageLayer[], signal?: AbortSignal): Promise<RootfsLease> {
    return this.#parts.rootfs.lease(chainOf(layers), signal);
  }

  layerDisk(layer: ImageLayer, signal?: AbortSignal): Promise<RootfsLease> {
    const chain = chainOf([layer]);
    const chainId = digestOf(Buffer.from(`overlay ${layer.diffId}`));
    return this.#parts.rootfs.lease({ ...chain, chainId, overlay: true }, signal);
  }

  async finish(config: object, layers: readonly ImageLayer[], names: readonly string[]): Promise<Digest> {
    const descriptors = await Promise.all(layers.map(({ blob }) => blob));
    const document = {
      ...config,
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    };
    const image = await writeImage(document, descriptors, { ...this.#parts, what: 'make image' });
    this.#parts.publish(image, names);
    return image.id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#blobs);
    await this.contents[Symbol.asyncDispose]();
    this.#parts.held[Symbol.dispose]();
  }
}

/** Layers in the making are unpacked: that they may have no blob yet does not matter. */
function chainOf(layers: readonly ImageLayer[]): LayerChain {
  const diffIds = layers.map(({ diffId }) => diffId);
  return {
    chainId: chainIdOf(diffIds),
    config: { rootfs: { diff_ids: diffIds } },
    manifest: { layers: diffIds.map((digest) => ({ digest })) },
  };
}

async function* fileTar(path: string, sizeBytes: number): AsyncGenerator<Buffer> {
  yield tarHeader({
    ...{ name: 'file', type: 'file', mode: 0o600, uid: 0, gid: 0, mtime: 0, linkName: '', sizeBytes },
    ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
  });
  yield* createReadStream(path, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>;
  yield tarPadding(sizeBytes);
  yield TAR_END;
}
