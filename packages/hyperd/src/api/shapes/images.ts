import { HyperError } from '../../errors.ts';
import type { ImageSummary, Removal } from '../../images/image-service.ts';

/** `repository:tag:id:created:size`, one string a tag, newest first; the fields are split off from the right. */
export function imageStrings(images: readonly ImageSummary[]): string[] {
  return [...images]
    .sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
    .flatMap((image) =>
      namesOf(image).map((name) =>
        [
          name,
          image.id.replace(/^sha256:/, ''),
          Math.floor(image.createdAt.getTime() / 1000),
          image.sizeBytes,
        ].join(':'),
      ),
    );
}

function namesOf({ tags, digests }: ImageSummary): readonly string[] {
  if (tags.length > 0) return tags;
  const repositories = new Set(digests.map((digest) => digest.replace(/@.*$/, '')));
  if (repositories.size === 0) return ['<none>:<none>'];
  return [...repositories].map((repository) => `${repository}:<none>`);
}

/** The steps of a removal, in the original's spelling. */
export function removalShape(removals: readonly Removal[]): object[] {
  return removals.map((removal) =>
    'untagged' in removal ? { untaged: removal.untagged } : { deleted: removal.deleted },
  );
}

/**
 * The images that `filter` (a repository, with `*` and `?`) and Docker's `filters` select. Throws `invalid-argument`
 * for filters other than `reference` and `dangling`.
 */
export function filterImages(
  images: readonly ImageSummary[],
  filter: string,
  filters: string,
): readonly ImageSummary[] {
  const { references, dangling } = readFilters(filters);
  if (filter !== '') references.push(filter);
  return images
    .filter((image) => dangling === undefined || (image.tags.length === 0) === dangling)
    .map((image) => {
      if (references.length === 0) return image;
      return { ...image, tags: image.tags.filter((tag) => references.some((glob) => selects(glob, tag))) };
    })
    .filter((image) => references.length === 0 || image.tags.length > 0);
}

function readFilters(text: string): { references: string[]; dangling: boolean | undefined } {
  if (text === '') return { references: [], dangling: undefined };
  const wanted = 'want {"reference": [...]} or {"dangling": ["true"]}';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new HyperError('invalid-argument', `read filters "${text}": ${wanted}`, { cause: error });
  }
  const result: { references: string[]; dangling: boolean | undefined } = {
    references: [],
    dangling: undefined,
  };
  for (const [name, values] of Object.entries(json ?? {})) {
    const list = Array.isArray(values) ? values.map(String) : Object.keys(values ?? {});
    if (name === 'reference') result.references.push(...list);
    else if (name === 'dangling') result.dangling = list.some((value) => value === 'true' || value === '1');
    else throw new HyperError('invalid-argument', `read filters: "${name}" is not known, ${wanted}`);
  }
  return result;
}

/** Whether `glob` matches a tag as a whole or its repository. */
function selects(glob: string, tag: string): boolean {
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]');
  const expression = new RegExp(`^${pattern}$`);
  return expression.test(tag) || expression.test(tag.replace(/:[^/:]*$/, ''));
}
