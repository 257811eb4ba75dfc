import type { Digest } from '../../packages/hyperd/src/ids.ts';
import type { BlobSink, BlobSource } from '../../packages/hyperd/src/images/registry/registry.ts';
import { sha256 } from './hostile-registry.ts';

/** Keeps what a pull brings. */
export class MemorySink implements BlobSink {
  readonly #chunks: Uint8Array[] = [];
  resets = 0;

  get sizeBytes(): number {
    return this.#chunks.reduce((sum, { length }) => sum + length, 0);
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.#chunks.push(Buffer.from(chunk));
  }

  async reset(): Promise<void> {
    this.#chunks.length = 0;
    this.resets++;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** Offers bytes to a push, in pieces of 64 KiB; `onRead` is told where each reading begins. */
export function sourceOf(bytes: Buffer, onRead: (fromByte: number) => void = () => undefined): BlobSource {
  return {
    ...{ digest: sha256(bytes) as Digest, sizeBytes: bytes.length },
    async *read(fromByte) {
      onRead(fromByte);
      for (let at = fromByte; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
    },
  };
}
