import { HyperError, isHyperError } from '../errors.ts';
import { asDigest, type Digest } from '../ids.ts';
import { shortId } from './digest.ts';
import type { ImageSummary, ImageUser, Removal } from './image-service.ts';
import {
  canonical,
  canonicalName,
  familiar,
  parseReference,
  type Reference,
  withDefaultTag,
} from './reference.ts';
import type { ImageRecord, ImageRecords } from './store/image-records.ts';

/** Names of images: looking up, giving, taking away. */
export class Catalog {
  readonly #records: ImageRecords;

  constructor(records: ImageRecords) {
    this.#records = records;
  }

  /** By reference (Docker's rules), id, or unique prefix of an id. Throws `not-found`, `invalid-argument`. */
  find(text: string): ImageRecord {
    const byId = this.#byId(text);
    if (byId) return byId;
    let name = text;
    if (!text.startsWith('sha256:')) {
      const reference = withDefaultTag(parseReference(text));
      name = familiar(reference);
      const record = this.#byReference(reference);
      if (record) return record;
    }
    const found = this.#byPrefix(text);
    if (found) return found;
    throw new HyperError('not-found', `No such image: ${name}`);
  }

  /** Where `text` is an id or a prefix of one, and no name: its image. */
  findId(text: string): ImageRecord | undefined {
    const found = this.#byId(text);
    if (found || canonicalOrUndefined(text) === undefined) return found ?? this.find(text);
    if (this.#byReference(withDefaultTag(parseReference(text)))) return undefined;
    return this.#byPrefix(text);
  }

  /** All tagged names of a repository, and their images. */
  tagsOf(repository: Reference): { readonly reference: Reference; readonly record: ImageRecord }[] {
    const name = canonicalName(repository);
    return this.#records
      .all()
      .flatMap((record) =>
        this.#records.namesOf(record.id).map((text) => ({ reference: parseReference(text), record })),
      )
      .filter(({ reference }) => reference.tag !== undefined && canonicalName(reference) === name);
  }

  /** Returns whose name it is now. Throws `not-found`, `invalid-argument`. */
  tag(source: string, target: string): { readonly id: Digest; readonly name: string } {
    const { id } = this.find(source);
    const reference = withDefaultTag(parseReference(target));
    if (reference.digest !== undefined)
      throw new HyperError(
        'invalid-argument',
        `tag image as "${target}": a digest cannot be given as a name`,
      );
    this.#records.addName(canonical(reference), id);
    return { id, name: familiar(reference) };
  }

  summary(record: ImageRecord): ImageSummary {
    const names = this.#records.namesOf(record.id).map(parseReference);
    return {
      ...{ id: record.id, sizeBytes: record.sizeBytes, labels: record.labels },
      tags: names.filter(({ digest }) => digest === undefined).map(familiar),
      digests: names.filter(({ digest }) => digest !== undefined).map(familiar),
      createdAt: new Date(record.createdAt),
    };
  }

  /**
   * Takes names away, and the row with the last one; the files are left to the garbage collection. `users` are the containers of
   * the image. Throws `not-found`, `conflict`.
   */
  remove(text: string, force: boolean, users: (id: Digest) => readonly ImageUser[]): Removal[] {
    const record = this.find(text);
    const names = this.#records.namesOf(record.id);
    const tags = names.filter((name) => !name.includes('@'));
    const byName = this.#byId(text) ? undefined : names.find((name) => name === canonicalOrUndefined(text));
    const isLast =
      byName === undefined || names.filter((name) => name !== byName && !name.includes('@')).length === 0;
    if (!isLast) {
      this.#records.removeNames([byName]);
      return [{ untagged: familiar(parseReference(byName)) }];
    }
    const using = users(record.id);
    const running = using.find(({ isRunning }) => isRunning);
    if (running) throw runningError(text, record.id, running, byName === undefined);
    if (using[0] && !force) throw stoppedError(text, record.id, using[0], byName === undefined);
    if (byName === undefined && repositoriesOf(tags) > 1 && !force) {
      throw new HyperError(
        'conflict',
        `conflict: unable to delete ${shortId(record.id)} (must be forced) - image is referenced in multiple repositories`,
      );
    }
    const removals: Removal[] = names.map((name) => ({ untagged: familiar(parseReference(name)) }));
    if (using.length > 0) {
      this.#records.removeNames(names);
      return removals; // its stopped containers can be started again; a prune takes it when they are gone
    }
    this.#records.remove(record.id);
    return [...removals, { deleted: record.id }];
  }

  /** By a whole id, or undefined. */
  #byId(text: string): ImageRecord | undefined {
    const full = asDigest(text.startsWith('sha256:') ? text : `sha256:${text}`);
    return full && this.#records.byId(full);
  }

  #byPrefix(text: string): ImageRecord | undefined {
    const bare = text.startsWith('sha256:') ? text.slice('sha256:'.length) : text;
    if (!/^[0-9a-f]{4,64}$/.test(bare)) return undefined;
    const [found, another] = this.#records.byIdPrefix(bare);
    if (found && another)
      throw new HyperError('invalid-argument', `find image "${text}": more than one image id begins so`);
    return found;
  }

  /** A reference with tag and digest means the digest. */
  #byReference(reference: Reference): ImageRecord | undefined {
    if (reference.digest === undefined) return this.#records.byName(canonical(reference));
    return (
      this.#records.byName(canonical({ ...reference, tag: undefined })) ??
      this.#records.byName(canonical(reference))
    );
  }
}

function canonicalOrUndefined(text: string): string | undefined {
  try {
    return canonical(withDefaultTag(parseReference(text)));
  } catch (error) {
    if (isHyperError(error)) return undefined; // an id
    throw error;
  }
}

function repositoriesOf(names: readonly string[]): number {
  return new Set(names.map((name) => canonicalName(parseReference(name)))).size;
}

function runningError(text: string, id: Digest, { container }: ImageUser, byId: boolean): HyperError {
  return new HyperError(
    'conflict',
    byId
      ? `conflict: unable to delete ${shortId(id)} (cannot be forced) - image is being used by running container ${container.slice(0, 12)}`
      : `conflict: unable to remove repository reference "${text}" (cannot be forced) - running container ${container.slice(0, 12)} is using its referenced image ${shortId(id)}`,
  );
}

function stoppedError(text: string, id: Digest, { container }: ImageUser, byId: boolean): HyperError {
  return new HyperError(
    'conflict',
    byId
      ? `conflict: unable to delete ${shortId(id)} (must be forced) - image is being used by stopped container ${container.slice(0, 12)}`
      : `conflict: unable to remove repository reference "${text}" (must force) - container ${container.slice(0, 12)} is using its referenced image ${shortId(id)}`,
  );
}
