import { createHash } from 'node:crypto';
import type { Digest } from '../ids.ts';
import type { KnownLayer } from '../images/assembly/assembly.ts';
import type { State } from '../state/database.ts';

/** What a step made: a layer, or nothing. */
export interface CachedStep {
  readonly layer: KnownLayer | undefined;
  /** When it was made, RFC 3339. */
  readonly created: string;
}

export interface CacheLimits {
  /** Bytes of disk that cached layers may take together. */
  readonly maxBytes: number;
  /** How long a step may go unused, in ms. */
  readonly maxAgeMs: number;
}

/**
 * What the steps of builds have made, by a key of everything that it depends on: what lies below, the instruction, the content that is copied. Rows are
 * written when a layer is in the store, and hold it from being collected.
 */
export interface BuildCache {
  get(key: string): CachedStep | undefined;
  put(key: string, step: CachedStep, sizeBytes: number): void;
  /** The layers that it holds. */
  layers(): Iterable<{ readonly diffId: Digest; readonly digest: Digest }>;
  /** Forgets what passes the limits, the longest unused first. Returns how many steps. */
  prune(limits: CacheLimits): number;
  usage(): { readonly steps: number; readonly bytes: number };
}

/** One text for everything that a step depends on. */
export function cacheKey(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

export function createBuildCache({ db, transact, toRemove }: State): BuildCache {
  const get = db.prepare('SELECT * FROM build_cache WHERE key = ?');
  const use = db.prepare('UPDATE build_cache SET used_at = ? WHERE key = ?');
  const put = db.prepare(
    `INSERT INTO build_cache (key, diff_id, media_type, digest, blob_bytes, created, size_bytes, used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (key) DO UPDATE SET diff_id = excluded.diff_id, media_type = excluded.media_type, digest = excluded.digest,
       blob_bytes = excluded.blob_bytes, created = excluded.created, size_bytes = excluded.size_bytes, used_at = excluded.used_at`,
  );
  const layers = db.prepare('SELECT DISTINCT diff_id, digest FROM build_cache WHERE diff_id IS NOT NULL');
  const byUse = db.prepare('SELECT key, diff_id, size_bytes, used_at FROM build_cache ORDER BY used_at DESC');
  const remove = db.prepare('DELETE FROM build_cache WHERE key = ?');
  /** Written down with the next prune, which ends every build: a commit for each hit would cost more than the hit saves. */
  const used = new Map<string, number>();
  return {
    get(key) {
      const row = get.get(key);
      if (!row) return undefined;
      used.set(key, Date.now());
      const blob = {
        mediaType: row.media_type as string,
        digest: row.digest as Digest,
        size: row.blob_bytes as number,
      };
      const layer = row.diff_id === null ? undefined : { diffId: row.diff_id as Digest, blob };
      return { layer, created: row.created as string };
    },
    put(key, { layer, created }, sizeBytes) {
      const { mediaType = null, digest = null, size = null } = layer?.blob ?? {};
      used.delete(key);
      put.run(key, layer?.diffId ?? null, mediaType, digest, size, created, sizeBytes, Date.now());
    },
    layers: () =>
      layers.all().map((row) => ({ diffId: row.diff_id as Digest, digest: row.digest as Digest })),
    prune({ maxBytes, maxAgeMs }) {
      const oldest = Date.now() - maxAgeMs;
      let removed = 0;
      const work = (): void => {
        const kept = new Set<unknown>();
        let bytes = 0;
        removed = 0;
        for (const [key, time] of used) use.run(time, key);
        for (const row of byUse.all()) {
          if (!kept.has(row.diff_id)) bytes += row.size_bytes as number;
          if ((row.used_at as number) >= oldest && bytes <= maxBytes) kept.add(row.diff_id);
          else removed += Number(remove.run(row.key as string).changes);
        }
      };
      toRemove(() => transact(work));
      used.clear();
      return removed;
    },
    usage() {
      const sizes = new Map(byUse.all().map((row) => [row.diff_id ?? row.key, row.size_bytes as number]));
      return { steps: byUse.all().length, bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0) };
    },
  };
}
