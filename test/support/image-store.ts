import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Events } from '../../packages/hyperd/src/events/index.ts';
import type { Digest } from '../../packages/hyperd/src/ids.ts';
import type { ImageService, ImageUsers } from '../../packages/hyperd/src/images/image-service.ts';
import { createImageService } from '../../packages/hyperd/src/images/service.ts';
import { openState, type State } from '../../packages/hyperd/src/state/database.ts';

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
/** No container uses any image. */
export const nobody: ImageUsers = () => [];

export interface Store {
  readonly root: string;
  readonly images: ImageService;
  /** As after a crash: nothing is closed in order, and everything opened anew. */
  reopen(): Promise<ImageService>;
}

/** Runs `work` with an image store of its own. */
export async function inStore(work: (store: Store) => Promise<void>, maxImageBytes = 1 << 28): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'images-'));
  let state: State | undefined;
  let images: ImageService | undefined;
  const open = async (): Promise<ImageService> => {
    await images?.[Symbol.asyncDispose]();
    state?.[Symbol.dispose]();
    state = openState(root);
    images = await createImageService({
      ...{ root, state, logger: silent, events: new Events(), maxImageBytes },
      registries: { insecureRegistries: [], mirrors: [], certsDirectories: [], env: {} },
    });
    return images;
  };
  try {
    await work({ root, images: await open(), reopen: open });
  } finally {
    await images?.[Symbol.asyncDispose]();
    state?.[Symbol.dispose]();
    rmSync(root, { recursive: true });
  }
}

/** All files below the store, by name, but those that only tell what it is. */
export function filesOf(root: string): string[] {
  return readdirSync(join(root, 'images'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'oci-layout')
    .map(({ parentPath, name }) => join(parentPath, name))
    .sort();
}

/** The files of an image's root file system, and what is in them. */
export async function rootfsOf(images: ImageService, id: Digest): Promise<Record<string, string>> {
  using lease = await images.rootfs(id);
  return extract(lease.path);
}

/** The files of a root file system, read with the tools of QEMU and EROFS. */
function extract(path: string): Record<string, string> {
  const work = mkdtempSync(join(tmpdir(), 'rootfs-'));
  try {
    execFileSync('qemu-img', ['convert', '-f', 'vmdk', '-O', 'raw', path, join(work, 'raw')]);
    execFileSync('fsck.erofs', [`--extract=${join(work, 'tree')}`, '--no-preserve', join(work, 'raw')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return Object.fromEntries(contentsBelow(join(work, 'tree'), ''));
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** No link is followed. */
function contentsBelow(directory: string, prefix: string): [string, string][] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry): [string, string][] => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return contentsBelow(path, `${prefix}${entry.name}/`);
    return entry.isFile() ? [[`${prefix}${entry.name}`, readFileSync(path, 'latin1')]] : [];
  });
}
