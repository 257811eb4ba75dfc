import type { Digest } from '../../ids.ts';
import type { State } from '../../state/database.ts';

export interface ImageRecord {
  /** Digest of the configuration. */
  readonly id: Digest;
  readonly manifestDigest: Digest;
  /** Of its layers, uncompressed. */
  readonly sizeBytes: number;
  /** ms since the epoch, as the image says. */
  readonly createdAt: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** Rows of images and their names (canonical). A row is written when all files of the image are there. */
export interface ImageRecords {
  /** Adds or keeps the image, and gives it the names, which other images lose. */
  save(image: ImageRecord, names: readonly string[]): void;
  all(): ImageRecord[];
  byId(id: string): ImageRecord | undefined;
  /** At most two, to tell a unique prefix. */
  byIdPrefix(hex: string): ImageRecord[];
  byName(name: string): ImageRecord | undefined;
  namesOf(id: Digest): string[];
  /** Gives an image a name, which another may lose. */
  addName(name: string, id: Digest): void;
  removeNames(names: readonly string[]): void;
  /** With its names. */
  remove(id: Digest): void;
}

export function createImageRecords(state: State): ImageRecords {
  const { db } = state;
  const insert = db.prepare(
    `INSERT INTO images (id, manifest_digest, size_bytes, created_at, labels) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET size_bytes = excluded.size_bytes, labels = excluded.labels`,
  );
  const name = db.prepare(
    'INSERT INTO image_names (name, image_id) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id',
  );
  const all = db.prepare('SELECT * FROM images ORDER BY created_at DESC, id');
  const byId = db.prepare('SELECT * FROM images WHERE id = ?');
  const byPrefix = db.prepare("SELECT * FROM images WHERE id >= ? AND id < ? || 'g' LIMIT 2");
  const byName = db.prepare(
    'SELECT images.* FROM images JOIN image_names ON image_names.image_id = images.id WHERE name = ?',
  );
  const names = db.prepare('SELECT name FROM image_names WHERE image_id = ? ORDER BY name');
  const removeName = db.prepare('DELETE FROM image_names WHERE name = ?');
  const removeNamesOf = db.prepare('DELETE FROM image_names WHERE image_id = ?');
  const remove = db.prepare('DELETE FROM images WHERE id = ?');
  const one = (row: Record<string, unknown> | undefined): ImageRecord | undefined => row && recordOf(row);
  return {
    save(image, imageNames) {
      state.transact(() => {
        const { id, manifestDigest, sizeBytes, createdAt, labels } = image;
        insert.run(id, manifestDigest, sizeBytes, createdAt, JSON.stringify(labels));
        for (const text of imageNames) name.run(text, id);
      });
    },
    all: () => all.all().map(recordOf),
    byId: (id) => one(byId.get(id)),
    byIdPrefix: (hex) => byPrefix.all(`sha256:${hex}`, `sha256:${hex}`).map(recordOf),
    byName: (text) => one(byName.get(text)),
    namesOf: (id) => names.all(id).map((row) => row.name as string),
    addName(text, id) {
      name.run(text, id);
    },
    removeNames(texts) {
      state.toRemove(() =>
        state.transact(() => {
          for (const text of texts) removeName.run(text);
        }),
      );
    },
    remove(id) {
      state.toRemove(() =>
        state.transact(() => {
          removeNamesOf.run(id);
          remove.run(id);
        }),
      );
    },
  };
}

function recordOf(row: Record<string, unknown>): ImageRecord {
  return {
    id: row.id as Digest,
    manifestDigest: row.manifest_digest as Digest,
    sizeBytes: row.size_bytes as number,
    createdAt: row.created_at as number,
    labels: JSON.parse(row.labels as string) as Record<string, string>,
  };
}
