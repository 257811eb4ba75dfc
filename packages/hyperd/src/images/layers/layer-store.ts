import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../../errors.ts';
import type { Digest } from '../../ids.ts';
import type { State } from '../../state/database.ts';
import { hexOf } from '../digest.ts';
import { checkSeal, type Seal, sealFile } from '../store/seal.ts';
import { formatLayerIndex, type LayerEntry, parseLayerIndex } from './layer-index.ts';
import { LayerWriter, type UnpackBudget, type WrittenLayer } from './layer-writer.ts';

export interface LayerInfo {
  readonly diffId: Digest;
  /** Of the layer's tar. */
  readonly tarBytes: number;
  /** Of the data file. */
  readonly dataBytes: number;
}

/** A layer that has just come in. */
export interface NewLayer extends LayerInfo {
  /** Whether its tar has no entry. */
  readonly isEmpty: boolean;
}

/**
 * Layers as machines read them: for every diff id a file of contents and an index of entries. Derived from blobs, and made again from them
 * where damaged. Shared by all images that have the layer.
 */
export class LayerStore {
  readonly #directory: string;
  readonly #temporary: string;
  readonly #rows: ReturnType<typeof rowsOf>;
  #drafts = 0;

  constructor(directory: string, temporary: string, state: State) {
    this.#directory = directory;
    this.#temporary = temporary;
    this.#rows = rowsOf(state);
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
  }

  dataPath(diffId: Digest): string {
    return join(this.#directory, `${hexOf(diffId)}.data`);
  }

  /** What belongs to a layer. */
  files(diffId: Digest): readonly string[] {
    return [this.dataPath(diffId), this.#indexPath(diffId)];
  }

  info(diffId: Digest): LayerInfo | undefined {
    const row = this.#rows.get(diffId);
    return row && { diffId, tarBytes: row.tarBytes, dataBytes: row.data.sizeBytes };
  }

  /** Whether the layer is there, and as whole as can be told without reading it; what is damaged is removed. */
  async has(diffId: Digest): Promise<boolean> {
    const row = this.#rows.get(diffId);
    if (!row) return false;
    const data = await checkSeal(this.dataPath(diffId), row.data);
    const index = await checkSeal(this.#indexPath(diffId), row.index);
    if (!data || !index) {
      await this.remove(diffId);
      return false;
    }
    if (data !== row.data || index !== row.index) this.#rows.put(diffId, { ...row, data, index });
    return true;
  }

  /** Whether the layer is there and whole; every byte is read. */
  async verify(diffId: Digest): Promise<boolean> {
    const row = this.#rows.get(diffId);
    if (!row) return false;
    const data = await checkSeal(this.dataPath(diffId), { ...row.data, seenAs: '' });
    return (
      data !== undefined &&
      (await checkSeal(this.#indexPath(diffId), { ...row.index, seenAs: '' })) !== undefined
    );
  }

  /** A place for a layer on its way in. `what` names it in errors. */
  async draft(budget: UnpackBudget, what: string): Promise<LayerDraft> {
    const path = join(this.#temporary, `layer-${++this.#drafts}`);
    const file = await open(path, 'wx', 0o644);
    const writer = new LayerWriter(file, budget, what);
    let isOpen = true;
    let isKept = false;
    const close = async (): Promise<void> => {
      if (!isOpen) return;
      isOpen = false;
      await file.close();
    };
    return {
      write: (chunk) => writer.write(chunk),
      commit: async (expected, beforeVisible) => {
        const written = await writer.finish();
        await close();
        if (expected !== undefined && written.diffId !== expected)
          throw new HyperError(
            'corrupt',
            `unpack ${what}: its uncompressed digest is ${written.diffId}, the image's configuration says ${expected}`,
          );
        await beforeVisible?.(written.diffId);
        await this.#keep(written, path);
        isKept = true;
        const { diffId, tarBytes, dataBytes, entries } = written;
        return { diffId, tarBytes, dataBytes, isEmpty: entries.length === 0 };
      },
      [Symbol.asyncDispose]: async () => {
        await close();
        if (isKept) return;
        budget.giveBack(writer.tarBytes);
        for (const left of [path, `${path}.json`]) await rm(left, { force: true });
      },
    };
  }

  /** Throws `corrupt`, `not-found`. */
  async index(diffId: Digest): Promise<LayerEntry[]> {
    return parseLayerIndex(await readFile(this.#indexPath(diffId), 'utf8'));
  }

  async remove(diffId: Digest): Promise<void> {
    this.#rows.remove(diffId);
    for (const path of this.files(diffId)) await rm(path, { force: true });
  }

  list(): LayerInfo[] {
    return this.#rows.all();
  }

  /** Removes files that no row tells of. */
  async removeStrays(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const known = this.#rows.get(`sha256:${name.replace(/\..*$/, '')}` as Digest);
      if (!known) await rm(join(this.#directory, name), { force: true });
    }
  }

  async #keep(written: WrittenLayer, data: string): Promise<void> {
    const { diffId } = written;
    const index = formatLayerIndex(written.entries);
    const indexDigest = `sha256:${createHash('sha256').update(index).digest('hex')}` as Digest;
    await writeFile(`${data}.json`, index, { mode: 0o600 });
    try {
      await rename(`${data}.json`, this.#indexPath(diffId));
      await rename(data, this.dataPath(diffId));
      this.#rows.put(diffId, {
        tarBytes: written.tarBytes,
        data: await sealFile(this.dataPath(diffId), written.dataDigest, written.dataBytes),
        index: await sealFile(this.#indexPath(diffId), indexDigest, Buffer.byteLength(index)),
      });
    } catch (error) {
      // Without a row they would be strays.
      if (!this.#rows.get(diffId)) for (const path of this.files(diffId)) await rm(path, { force: true });
      throw error;
    }
  }

  #indexPath(diffId: Digest): string {
    return join(this.#directory, `${hexOf(diffId)}.json`);
  }
}

/** A layer on its way in. Disposing without `commit` leaves nothing. */
export interface LayerDraft extends AsyncDisposable {
  /** Bytes of the uncompressed tar. Rejects `corrupt`, `unsupported`, `limit`. */
  write(chunk: Buffer): Promise<void>;
  /**
   * Verifies the diff id, where one is expected, and makes the layer visible; `beforeVisible` may hold it, so that it is not collected at once. Rejects
   * `corrupt`.
   */
  commit(expected?: Digest, beforeVisible?: (diffId: Digest) => Promise<void>): Promise<NewLayer>;
}

interface Row {
  readonly tarBytes: number;
  readonly data: Seal;
  readonly index: Seal;
}

function rowsOf({ db, toRemove }: State) {
  const get = db.prepare('SELECT * FROM layers WHERE diff_id = ?');
  const all = db.prepare('SELECT diff_id, tar_bytes, data_bytes FROM layers');
  const remove = db.prepare('DELETE FROM layers WHERE diff_id = ?');
  const put = db.prepare(
    `INSERT INTO layers (diff_id, tar_bytes, data_digest, data_bytes, data_seen_as, index_digest, index_bytes, index_seen_as)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (diff_id) DO UPDATE SET tar_bytes = excluded.tar_bytes,
       data_digest = excluded.data_digest, data_bytes = excluded.data_bytes, data_seen_as = excluded.data_seen_as,
       index_digest = excluded.index_digest, index_bytes = excluded.index_bytes, index_seen_as = excluded.index_seen_as`,
  );
  return {
    get(diffId: Digest): Row | undefined {
      const row = get.get(diffId);
      if (!row) return undefined;
      const seal = (name: string): Seal => ({
        digest: row[`${name}_digest`] as Digest,
        sizeBytes: row[`${name}_bytes`] as number,
        seenAs: row[`${name}_seen_as`] as string,
      });
      return { tarBytes: row.tar_bytes as number, data: seal('data'), index: seal('index') };
    },
    put(diffId: Digest, { tarBytes, data, index }: Row): void {
      put.run(
        ...([diffId, tarBytes, data.digest, data.sizeBytes, data.seenAs] as const),
        ...([index.digest, index.sizeBytes, index.seenAs] as const),
      );
    },
    remove(diffId: Digest): void {
      toRemove(() => remove.run(diffId));
    },
    all(): LayerInfo[] {
      return all.all().map((row) => ({
        ...{ diffId: row.diff_id as Digest, tarBytes: row.tar_bytes as number },
        dataBytes: row.data_bytes as number,
      }));
    },
  };
}
