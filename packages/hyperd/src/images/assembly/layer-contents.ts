import { type FileHandle, open } from 'node:fs/promises';
import type { Digest } from '../../ids.ts';
import { BLOCK_BYTES } from '../layers/layer-index.ts';
import type { LayerStore } from '../layers/layer-store.ts';
import type { Content } from '../layers/tree.ts';

const WINDOW_BYTES = 1 << 20;

/**
 * What the files of layers hold, read from the layers' data files. Gives layers the numbers that a tree's contents name them by. Whoever made it disposes
 * of it, and holds the layers until then.
 */
export class LayerContents implements AsyncDisposable {
  readonly #layers: LayerStore;
  readonly #numbers = new Map<Digest, number>();
  readonly #files = new Map<number, Promise<FileHandle>>();
  /** The part of a file that was read last: small files that lie side by side cost one read. */
  #window: { readonly layer: number; readonly start: number; readonly bytes: Buffer } | undefined;

  constructor(layers: LayerStore) {
    this.#layers = layers;
  }

  numberOf(diffId: Digest): number {
    const known = this.#numbers.get(diffId);
    if (known !== undefined) return known;
    this.#numbers.set(diffId, this.#numbers.size);
    return this.#numbers.size - 1;
  }

  async *read({ layer, firstBlock, sizeBytes }: Content): AsyncGenerator<Buffer> {
    const start = firstBlock * BLOCK_BYTES;
    for (let done = 0; done < sizeBytes; ) {
      const part = await this.#part(layer, start + done, sizeBytes - done);
      yield part;
      done += part.length;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const files = [...this.#files.values()];
    this.#files.clear();
    for (const file of await Promise.allSettled(files))
      if (file.status === 'fulfilled') await file.value.close();
  }

  async #part(layer: number, at: number, wanted: number): Promise<Buffer> {
    let window = this.#window;
    if (window?.layer !== layer || at < window.start || at >= window.start + window.bytes.length) {
      const bytes = Buffer.allocUnsafe(WINDOW_BYTES);
      const { bytesRead } = await (await this.#file(layer)).read(bytes, 0, WINDOW_BYTES, at);
      if (bytesRead === 0) return Buffer.alloc(Math.min(wanted, WINDOW_BYTES)); // a hole at the end of the file
      window = { layer, start: at, bytes: bytes.subarray(0, bytesRead) };
      this.#window = window;
    }
    const offset = at - window.start;
    return window.bytes.subarray(offset, offset + wanted);
  }

  #file(layer: number): Promise<FileHandle> {
    const known = this.#files.get(layer);
    if (known) return known;
    const diffId = [...this.#numbers].find(([, number]) => number === layer)?.[0] as Digest;
    const file = open(this.#layers.dataPath(diffId), 'r');
    this.#files.set(layer, file);
    return file;
  }
}
