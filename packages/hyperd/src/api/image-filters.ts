import { HyperError } from '../errors.ts';
import type { ImageSummary } from '../images/image-service.ts';
import { filterLists, hasLabel } from './filters.ts';

const KNOWN = ['before', 'dangling', 'label', 'reference', 'since'];

/** What a client wants to see of the images; all of it has to hold. */
export interface ImageFilters {
  /** Globs of names; one of them has to match. */
  readonly references: readonly string[];
  /** `KEY` or `KEY=VALUE`. */
  readonly labels: readonly string[];
  /** Images without a tag, or those with one. */
  readonly dangling: boolean | undefined;
  /** References of images that have to be newer. */
  readonly before: readonly string[];
  /** References of images that have to be older. */
  readonly since: readonly string[];
}

/**
 * Reads `filter` (a repository, with `*` and `?`) and Docker's `filters` (a JSON object of lists, or of objects whose keys count). Throws
 * `invalid-argument`.
 */
export function parseImageFilters(filter: string, filters: string): ImageFilters {
  const lists = filterLists(filters, KNOWN);
  const list = (name: string): readonly string[] => lists.get(name) ?? [];
  return {
    references: [...list('reference'), ...(filter === '' ? [] : [filter])],
    labels: list('label'),
    dangling: danglingOf(list('dangling')),
    ...{ before: list('before'), since: list('since') },
  };
}

function danglingOf(values: readonly string[]): boolean | undefined {
  const [value] = values;
  if (value === undefined) return undefined;
  if (['true', '1'].includes(value)) return true;
  if (['false', '0'].includes(value)) return false;
  throw new HyperError('invalid-argument', `read filters: dangling is "${value}", want true or false`);
}

/** The images that `filters` select, with the names that match. `createdAt` tells the time of an image that `before` or `since` names. */
export async function selectImages<T extends ImageSummary>(
  images: readonly T[],
  filters: ImageFilters,
  createdAt: (reference: string) => Promise<Date>,
): Promise<T[]> {
  const { references, labels, dangling } = filters;
  const before = await Promise.all(filters.before.map(createdAt));
  const since = await Promise.all(filters.since.map(createdAt));
  return images
    .filter((image) => dangling === undefined || (image.tags.length === 0) === dangling)
    .filter((image) => labels.every((label) => hasLabel(image.labels, label)))
    .filter((image) => before.every((time) => image.createdAt < time))
    .filter((image) => since.every((time) => image.createdAt > time))
    .map((image) => (references.length === 0 ? image : withMatchingNames(image, references)))
    .filter(({ tags, digests }) => references.length === 0 || tags.length + digests.length > 0);
}

function withMatchingNames<T extends ImageSummary>(image: T, globs: readonly string[]): T {
  const matching = (names: readonly string[]): string[] =>
    names.filter((name) => globs.some((glob) => selects(glob, name)));
  return { ...image, tags: matching(image.tags), digests: matching(image.digests) };
}

/** Whether `glob` matches a name as a whole or its repository. */
function selects(glob: string, name: string): boolean {
  return [name, name.replace(/@.*$|:[^/:]*$/, '')].some((text) => matchesPath(glob, text));
}

/** `*` and `?` stand for anything but a slash. */
function matchesPath(glob: string, text: string): boolean {
  const [patterns, parts] = [glob.split('/'), text.split('/')];
  return (
    patterns.length === parts.length && patterns.every((pattern, i) => matchesPart(pattern, parts[i] ?? ''))
  );
}

/** Goes back to the last `*` only, so that no pattern takes long (a regular expression would not promise that). */
function matchesPart(pattern: string, text: string): boolean {
  let [at, star, resume] = [0, -1, 0];
  let index = 0;
  while (index < text.length) {
    if (pattern[at] === '*') {
      star = at++;
      resume = index;
    } else if (pattern[at] === '?' || pattern[at] === text[index]) {
      at++;
      index++;
    } else if (star >= 0) {
      at = star + 1;
      index = ++resume;
    } else {
      return false;
    }
  }
  return /^\**$/.test(pattern.slice(at));
}
