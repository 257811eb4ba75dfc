import type { Digest } from '../../ids.ts';
import type { State } from '../../state/database.ts';

/** The repositories of a registry that are known to have a blob. */
export interface BlobSources {
  add(digests: readonly Digest[], registry: string, repository: string): void;
  /** At most a few, others than `repository`. */
  of(digest: Digest, registry: string, repository: string): string[];
  /** Forgets blobs that are not in the store any more. */
  keepOnly(digests: ReadonlySet<Digest>): void;
}

const MAX_TRIED = 3;

export function createBlobSources(state: State): BlobSources {
  const { db } = state;
  const insert = db.prepare(
    'INSERT OR IGNORE INTO blob_sources (digest, registry, repository) VALUES (?, ?, ?)',
  );
  const select = db.prepare(
    `SELECT repository FROM blob_sources WHERE digest = ? AND registry = ? AND repository <> ? LIMIT ${MAX_TRIED}`,
  );
  const all = db.prepare('SELECT DISTINCT digest FROM blob_sources');
  const remove = db.prepare('DELETE FROM blob_sources WHERE digest = ?');
  return {
    add(digests, registry, repository) {
      state.transact(() => {
        for (const digest of digests) insert.run(digest, registry, repository);
      });
    },
    of: (digest, registry, repository) =>
      select.all(digest, registry, repository).map((row) => row.repository as string),
    keepOnly(digests) {
      state.toRemove(() =>
        state.transact(() => {
          for (const { digest } of all.all())
            if (!digests.has(digest as Digest)) remove.run(digest as string);
        }),
      );
    },
  };
}
