import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import type { Logger } from '../logger.ts';
import type { State } from '../state/database.ts';
import type { Ailment } from '../upkeep/index.ts';
import { deleteDirectory, diskBytes } from './directory.ts';
import { examineVolumes } from './examine-volumes.ts';
import { checkVolumeName } from './volume-name.ts';

const MAX_VOLUMES = 65_536;
/** What is in a volume; beside it the guest marks a volume that it is filling. */
const DATA = 'data';
/** No name begins so. */
const REMOVED = '.removed-';

export interface Volume {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: Date;
  /** Where its files are on the host. */
  readonly path: string;
}

/** Which pods use a volume, running or not. */
export type VolumeUsers = (name: string) => readonly string[];

/**
 * Volumes with a name: directories below the daemon's root that outlive pods, and may be in several at once. A row is there before its directory,
 * and gone before it. Calls reject `not-found`, `conflict`, `invalid-argument`.
 */
export class NamedVolumes {
  readonly #directory: string;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #logger: Logger;
  readonly #events: Events;

  constructor({
    root,
    state,
    logger,
    events,
  }: {
    readonly root: string;
    readonly state: State;
    readonly logger: Logger;
    readonly events: Events;
  }) {
    this.#directory = join(root, 'volumes');
    this.#statements = prepare(state);
    this.#logger = logger;
    this.#events = events;
  }

  /** At daemon start: ends removals that were broken off. Directories without a row are told of, and left: they may be all that is left of somebody's data. */
  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o711 });
    const rows = this.#statements.all.all();
    for (const row of rows) if (row.removing === 1) await this.#remove(row.name as string);
    const known = new Set(rows.map(({ name }) => name));
    for (const name of await readdir(this.#directory)) {
      if (name.startsWith(REMOVED)) await this.#delete(join(this.#directory, name));
      else if (!known.has(name))
        this.#logger.warn(
          { volume: join(this.#directory, name) },
          'a volume that nothing is known of is left as it is',
        );
    }
  }

  list(): Volume[] {
    return this.#statements.all.all().flatMap((row) => (row.removing === 0 ? [this.#volumeOf(row)] : []));
  }

  examine(): Promise<Ailment[]> {
    return examineVolumes(this.#directory, this.list());
  }

  find(name: string): Volume {
    const row = this.#statements.find.get(name);
    if (row?.removing === 0) return this.#volumeOf(row);
    throw new HyperError('not-found', `find volume "${name}": there is none of that name`);
  }

  /** Rejects `conflict` where there is one of that name. */
  async create(name: string, labels: Readonly<Record<string, string>> = {}): Promise<Volume> {
    checkVolumeName(name);
    if (this.#statements.find.get(name))
      throw new HyperError('conflict', `create volume "${name}": there is one of that name`);
    return this.ensure(name, labels);
  }

  /** The volume of that name, made where there is none. */
  async ensure(name: string, labels: Readonly<Record<string, string>> = {}): Promise<Volume> {
    checkVolumeName(name);
    const row = this.#statements.find.get(name);
    if (row?.removing === 1) throw new HyperError('conflict', `use volume "${name}": it is being removed`);
    if (!row) {
      const { count } = this.#statements.count.get() as { count: number };
      if (count >= MAX_VOLUMES)
        throw new HyperError('limit', `create volume "${name}": there are ${count}, remove some`);
      this.#statements.insert.run(name, JSON.stringify(labels), Date.now());
    }
    const volume = this.find(name);
    try {
      await mkdir(volume.path, { recursive: true, mode: 0o755 });
    } catch (error) {
      if (!row) await this.#undoCreate(name);
      throw error;
    }
    if (!row) this.#events.volume(volume, 'create');
    return volume;
  }

  /** What a machine is to be given of it; the files are below `data` there. */
  shared(name: string): string {
    return join(this.#directory, name);
  }

  /** Rejects `conflict` where a pod uses it, naming the pods. */
  async remove(name: string, users: VolumeUsers): Promise<void> {
    const volume = this.find(name);
    const pods = users(name);
    if (pods.length > 0) {
      const shown = pods.slice(0, 10).join(', ');
      throw new HyperError(
        'conflict',
        `remove volume "${name}": in use by pod ${shown}${pods.length > 10 ? ', ...' : ''}`,
      );
    }
    await this.#remove(name);
    this.#events.volume(volume, 'destroy');
  }

  /** Removes all that no pod uses. Resolves with their names, and the bytes of disk that came free. */
  async prune(users: VolumeUsers): Promise<{ readonly removed: readonly string[]; readonly bytes: number }> {
    const removed: string[] = [];
    let bytes = 0;
    for (const volume of this.list()) {
      const { name } = volume;
      if (users(name).length > 0) continue;
      const size = await this.size(name);
      if (users(name).length > 0 || !this.#statements.find.get(name)) continue; // meanwhile
      await this.#remove(name);
      this.#events.volume(volume, 'destroy');
      removed.push(name);
      bytes += size;
    }
    return { removed, bytes };
  }

  /** Bytes that it takes on the disk. */
  async size(name: string): Promise<number> {
    return diskBytes(this.find(name).path);
  }

  /** Nothing is left of a volume that has got no directory. */
  async #undoCreate(name: string): Promise<void> {
    this.#statements.delete(name);
    try {
      await rmdir(this.shared(name));
    } catch (error) {
      // Not made; or there before the volume, with somebody's data.
      if (!['ENOENT', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }

  async #remove(name: string): Promise<void> {
    this.#statements.setRemoving(name, true);
    const removed = join(this.#directory, `${REMOVED}${randomBytes(8).toString('hex')}`);
    try {
      await rename(this.shared(name), removed);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#statements.setRemoving(name, false);
        throw error;
      }
    }
    this.#statements.delete(name);
    await this.#delete(removed);
  }

  /** What cannot be deleted now is tried again by the next daemon. */
  async #delete(directory: string): Promise<void> {
    try {
      await deleteDirectory(directory);
    } catch (error) {
      this.#logger.error({ directory, err: messageOf(error) }, 'delete removed volume');
    }
  }

  #volumeOf(row: Record<string, unknown>): Volume {
    const name = row.name as string;
    return {
      ...{ name, labels: JSON.parse(row.labels as string) as Record<string, string> },
      ...{ createdAt: new Date(row.created_at as number), path: join(this.#directory, name, DATA) },
    };
  }
}

function prepare({ db, toRemove }: State) {
  const setRemoving = db.prepare('UPDATE volumes SET removing = ? WHERE name = ?');
  const remove = db.prepare('DELETE FROM volumes WHERE name = ?');
  return {
    all: db.prepare('SELECT * FROM volumes ORDER BY name'),
    find: db.prepare('SELECT * FROM volumes WHERE name = ?'),
    count: db.prepare('SELECT count(*) AS count FROM volumes'),
    insert: db.prepare('INSERT INTO volumes (name, labels, created_at) VALUES (?, ?, ?)'),
    setRemoving: (name: string, isRemoving: boolean) =>
      toRemove(() => setRemoving.run(isRemoving ? 1 : 0, name)),
    delete: (name: string) => toRemove(() => remove.run(name)),
  };
}
