import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { Digest } from '../ids.ts';
import { type Ailment, entriesOf, leftDrafts } from '../upkeep/index.ts';
import type { Collected } from './garbage.ts';
import { blobsOf, readStoredImage, type StoredImage } from './image-files.ts';
import { familiar, parseReference } from './reference.ts';

export type ExaminedImages = Omit<Collected, 'logger' | 'sources' | 'otherLayers'>;

/**
 * Images that lack a part; with `verify` also parts that are not what their digest says, for which every byte is read. Damaged parts are removed, so that
 * they are not taken for whole; what can be made of others is made again, and what cannot, a pull brings.
 */
export async function examineImages(
  parts: ExaminedImages,
  directory: string,
  { verify }: { readonly verify: boolean },
): Promise<Ailment[]> {
  const found: Ailment[] = [];
  const bad = new Set<Digest>();
  for (const record of parts.records.all()) {
    const [name = record.id] = parts.records.namesOf(record.id);
    const called = name === record.id ? record.id : familiar(parseReference(name));
    const add = (problem: string, digest?: Digest): void => {
      found.push({
        problem: `image ${called}: ${problem}`,
        remedy: `pull, load or build ${called} again${digest ? '; until then the damaged part is out of the way' : ''}`,
        ...(digest && { mend: () => parts.store.remove(digest) }),
      });
    };
    let image: StoredImage;
    try {
      image = await readStoredImage(parts.store, record.manifestDigest);
    } catch (error) {
      add(messageOf(error));
      continue;
    }
    for (const digest of blobsOf(image)) {
      if (bad.has(digest)) continue;
      if (!(await parts.store.has(digest))) add(`its blob ${digest} is missing`);
      else if (verify && !(await parts.store.verify(digest))) {
        bad.add(digest);
        add(`its blob ${digest} is damaged`, digest);
      }
    }
    const damaged = await parts.rootfs.damaged(image, { verify });
    if (damaged.length > 0)
      found.push({
        problem: `image ${called}: its root file system is missing or damaged`,
        remedy: 'it is made again of its blobs',
        mend: () => parts.rootfs.mend(image, damaged),
      });
  }
  return [
    ...found,
    ...(await strayFiles(parts, directory)),
    ...(await leftDrafts(join(directory, 'tmp'), () => true)),
  ];
}

/** Derived files that no row tells of. */
async function strayFiles({ layers, rootfs }: ExaminedImages, directory: string): Promise<Ailment[]> {
  const found: Ailment[] = [];
  for (const [folder, known] of [
    ['layers', layers.list().map(({ diffId }) => diffId)],
    ['rootfs', rootfs.list()],
  ] as const) {
    const names = new Set(known.map((digest) => digest.slice('sha256:'.length)));
    const isStray = (name: string): boolean => !names.has(name.replace(/\..*$/, ''));
    if (!(await entriesOf(join(directory, folder))).some(isStray)) continue;
    found.push(...(await leftDrafts(join(directory, folder), isStray)));
  }
  return found;
}
