import { HyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { Catalog } from './catalog.ts';
import { blobsOf, readStoredImage, type StoredImage } from './image-files.ts';
import { canonical, isNameOnly, parseReference, type Reference, withDefaultTag } from './reference.ts';
import type { SavedImage } from './save.ts';
import type { ContentStore } from './store/content-store.ts';
import type { HoldSet } from './store/holds.ts';
import type { ImageRecord } from './store/image-records.ts';

export interface SaveContext {
  readonly catalog: Catalog;
  readonly store: ContentStore;
  /** Keeps the images' blobs until they have been read. */
  readonly held: HoldSet;
}

/**
 * The images that the texts stand for: a name without a tag for all tags of the repository, an id for the image without a name. Throws `not-found`,
 * `invalid-argument` for no text at all.
 */
export async function savedImages(texts: readonly string[], context: SaveContext): Promise<SavedImage[]> {
  if (texts.length === 0) throw new HyperError('invalid-argument', 'save images: none is named');
  const saved = new Map<Digest, { image: StoredImage; references: Reference[] }>();
  for (const text of texts) {
    for (const { record, reference } of named(text, context.catalog)) {
      const known = saved.get(record.id) ?? {
        image: await readStoredImage(context.store, record.manifestDigest),
        references: [],
      };
      saved.set(record.id, known);
      if (reference && !known.references.some((other) => canonical(other) === canonical(reference)))
        known.references.push(reference);
      for (const digest of blobsOf(known.image)) await context.held.hold(digest);
    }
  }
  return [...saved.values()];
}

function named(
  text: string,
  catalog: Catalog,
): { readonly record: ImageRecord; readonly reference: Reference | undefined }[] {
  const record = catalog.findId(text);
  if (record) return [{ record, reference: undefined }];
  const reference = parseReference(text);
  const all = isNameOnly(reference) ? catalog.tagsOf(reference) : [];
  if (all.length > 0) return all;
  const tagged = withDefaultTag(reference);
  return [{ record: catalog.find(text), reference: tagged.tag === undefined ? undefined : tagged }];
}
