import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../logger.ts';
import type { State } from '../state/database.ts';
import type { ImageService } from './image-service.ts';

/**
 * Loads the images that come with hyperd into a new store, so that the first run needs no network. Done once a root: what a user removes afterwards
 * stays removed.
 */
export async function seedImages(
  images: ImageService,
  { db }: State,
  directory: string,
  logger: Logger,
): Promise<void> {
  const done = db.prepare("SELECT value FROM settings WHERE key = 'seeded'").get();
  if (done) return;
  const names = await readdir(directory).catch(() => []); // an installation may come without any
  for (const name of names.filter((file) => file.endsWith('.tar')).sort()) {
    const loaded = await images.load(createReadStream(join(directory, name)));
    logger.info(
      { archive: name, images: loaded.flatMap(({ tags }) => tags) },
      'image loaded into the new store',
    );
  }
  db.prepare("INSERT INTO settings (key, value) VALUES ('seeded', 'yes')").run();
}
