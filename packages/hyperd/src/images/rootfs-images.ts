import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isHyperError } from '../errors.ts';
import type { Digest } from '../ids.ts';
import type { State } from '../state/database.ts';
import { digestOf, hexOf } from './digest.ts';
import type { RootfsLease } from './image-service.ts';
import { uncompressed } from './layers/decompress.ts';
import { writeErofs } from './layers/erofs.ts';
import { BLOCK_BYTES } from './layers/layer-index.ts';
import type { LayerStore } from './layers/layer-store.ts';
import { UnpackBudget } from './layers/layer-writer.ts';
import { applyLayer, emptyRoot } from './layers/tree.ts';
import { SingleFlight } from './single-flight.ts';
import type { ContentStore } from './store/content-store.ts';
import { HoldSet, type Holds } from './store/holds.ts';
import { checkSeal, type Seal, sealFile } from './store/seal.ts';

const SECTOR_BYTES = 512;

export interface RootfsOptions {
  readonly directory: string;
  readonly store: ContentStore;
  readonly layers: LayerStore;
  readonly holds: Holds;
  readonly state: State;
  /** Bound on an image's uncompressed layers. */
  readonly maxBytes: number;
}

/** A stack of layers; every image has one. */
export interface LayerChain {
  readonly chainId: Digest;
  /** It is to lie over others in a machine: what it hides is told. */
  readonly overlay?: boolean;
  /** Where layers come from that are not unpacked. */
  readonly manifest: { readonly layers: readonly { readonly digest: Digest }[] };
  readonly config: { readonly rootfs: { readonly diff_ids: readonly Digest[] } };
}

/** One layer being unpacked: told before and after. */
export type LayerListener = (layer: Digest, event: 'unpacking' | 'unpacked') => void;

/**
 * Root file systems: for every chain of layers the metadata of one file system, whose contents are the layers' data files. A machine sees both as one disk,
 * through a descriptor of extents (VMDK, flat): nothing is copied, and images share what they have in common.
 */
export class RootfsImages {
  readonly #options: RootfsOptions;
  readonly #flights = new SingleFlight<Digest, void>();
  readonly #unpacking = new SingleFlight<Digest, void>();
  readonly #rows: ReturnType<typeof rowsOf>;

  constructor(options: RootfsOptions) {
    this.#options = options;
    this.#rows = rowsOf(options.state);
  }

  async open(): Promise<void> {
    await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
  }

  /** The image's rootfs, made where it is missing or damaged; `signal` stops waiting for it. */
  async lease(image: LayerChain, signal?: AbortSignal): Promise<RootfsLease> {
    const held = new HoldSet(this.#options.holds);
    try {
      await this.ensure(image, { held, ...(signal && { signal }) });
      return {
        path: this.#path(image.chainId, 'vmdk'),
        format: 'vmdk',
        [Symbol.dispose]: () => held[Symbol.dispose](),
      };
    } catch (error) {
      held[Symbol.dispose]();
      throw error;
    }
  }

  /** Makes the image's rootfs unless it is there. Rejects `corrupt` where the image's blobs are damaged, `limit`, `canceled`. */
  async ensure(
    image: LayerChain,
    { held, signal, onLayer }: { held: HoldSet; signal?: AbortSignal; onLayer?: LayerListener },
  ): Promise<void> {
    const { chainId, config } = image;
    await held.hold(chainId);
    for (const diffId of config.rootfs.diff_ids) await held.hold(diffId);
    await this.#flights.run(chainId, signal, async (shared) => {
      const whole = await this.unpack(image, shared, onLayer);
      if (whole && (await this.#isIntact(image))) return;
      await this.#write(image);
    });
  }

  /** What of the image's files is missing or damaged, layers and chain; `verify`: every byte is read. */
  async damaged(
    { chainId, config }: LayerChain,
    { verify }: { readonly verify: boolean },
  ): Promise<Digest[]> {
    const { layers } = this.#options;
    const found: Digest[] = [];
    for (const diffId of new Set(config.rootfs.diff_ids)) {
      const isWhole = verify ? await layers.verify(diffId) : await areThere(layers.files(diffId));
      if (!isWhole) found.push(diffId);
    }
    const seal = this.#rows.get(chainId);
    const [metadata = ''] = this.files(chainId);
    const isWhole = verify
      ? seal && (await checkSeal(metadata, { ...seal, seenAs: '' }))
      : seal && (await areThere(this.files(chainId)));
    return isWhole ? found : [...found, chainId];
  }

  /** Makes what is `damaged` again. Running machines keep what they have open. Rejects as `ensure`. */
  async mend(image: LayerChain, damaged: readonly Digest[]): Promise<void> {
    using held = new HoldSet(this.#options.holds);
    for (const diffId of damaged.filter((digest) => digest !== image.chainId))
      await this.#options.layers.remove(diffId);
    await this.remove(image.chainId);
    await this.ensure(image, { held });
  }

  /** Removes a chain's files. */
  async remove(chainId: Digest): Promise<void> {
    this.#rows.remove(chainId);
    for (const path of this.files(chainId)) await rm(path, { force: true });
  }

  list(): Digest[] {
    return this.#rows.all().map(({ chainId }) => chainId);
  }

  /** What belongs to a chain. */
  files(chainId: Digest): readonly string[] {
    return [this.#path(chainId, 'erofs'), this.#path(chainId, 'vmdk')];
  }

  async removeStrays(): Promise<void> {
    for (const name of await readdir(this.#options.directory)) {
      if (this.#rows.get(`sha256:${name.replace(/\..*$/, '')}` as Digest)) continue;
      await rm(join(this.#options.directory, name), { force: true });
    }
  }

  /** Makes the layers readable; whether all were so already. */
  async unpack(image: LayerChain, signal: AbortSignal, onLayer?: LayerListener): Promise<boolean> {
    const { layers } = this.#options;
    const budget = new UnpackBudget(this.#options.maxBytes);
    let whole = true;
    for (const [index, { digest }] of image.manifest.layers.entries()) {
      const diffId = image.config.rootfs.diff_ids[index] as Digest;
      if (await layers.has(diffId)) continue;
      whole = false;
      onLayer?.(digest, 'unpacking');
      await this.#unpacking.run(diffId, signal, (shared) => this.#unpack(digest, diffId, budget, shared));
      onLayer?.(digest, 'unpacked');
    }
    return whole;
  }

  /** A layer out of its blob. A blob that proves damaged is removed, so that a pull brings it again. */
  async #unpack(digest: Digest, diffId: Digest, budget: UnpackBudget, signal: AbortSignal): Promise<void> {
    const { store, layers } = this.#options;
    await using draft = await layers.draft(budget, `layer ${digest}`);
    try {
      for await (const chunk of uncompressed(store.stream(digest), `layer ${digest}`)) {
        signal.throwIfAborted();
        await draft.write(chunk);
      }
      await draft.commit(diffId);
    } catch (error) {
      if (isHyperError(error, 'corrupt') && !(await store.verify(digest))) await store.remove(digest);
      throw error;
    }
  }

  async #isIntact({ chainId, config }: LayerChain): Promise<boolean> {
    const seal = this.#rows.get(chainId);
    if (!seal) return false;
    const descriptor = this.#descriptor(chainId, seal.sizeBytes, [...new Set(config.rootfs.diff_ids)]);
    if ((await readText(this.#path(chainId, 'vmdk'))) !== descriptor) return false;
    const seen = await checkSeal(this.#path(chainId, 'erofs'), seal);
    if (!seen) return false;
    if (seen !== seal) this.#rows.put(chainId, seen);
    return true;
  }

  async #write({ chainId, config, overlay = false }: LayerChain): Promise<void> {
    const { layers, store } = this.#options;
    const diffIds = [...new Set(config.rootfs.diff_ids)];
    const root = emptyRoot();
    for (const diffId of config.rootfs.diff_ids)
      applyLayer(root, await layers.index(diffId), diffIds.indexOf(diffId), { overlay });
    const bases: number[] = [];
    let blocks = 0;
    for (const diffId of diffIds) {
      bases.push(blocks);
      blocks += (layers.info(diffId)?.dataBytes ?? 0) / BLOCK_BYTES;
    }
    const draft = join(store.temporary, `rootfs-${hexOf(chainId)}`);
    try {
      await using file = await open(draft, 'w', 0o644);
      const metadataBytes =
        (await writeErofs(file, root, { layerBases: bases, contentBlocks: blocks })) * BLOCK_BYTES;
      await writeFile(`${draft}.vmdk`, this.#descriptor(chainId, metadataBytes, diffIds), { mode: 0o644 });
      await rename(`${draft}.vmdk`, this.#path(chainId, 'vmdk'));
      await rename(draft, this.#path(chainId, 'erofs'));
      const path = this.#path(chainId, 'erofs');
      this.#rows.put(chainId, await sealFile(path, digestOf(await readFile(path)), metadataBytes));
    } catch (error) {
      const written = this.#rows.get(chainId) ? [] : this.files(chainId); // without a row they would be strays
      for (const path of [draft, `${draft}.vmdk`, ...written]) await rm(path, { force: true });
      throw error;
    }
  }

  /** Metadata and layers one behind the other as one disk (VMDK 5.0, text descriptor of flat extents). */
  #descriptor(chainId: Digest, metadataBytes: number, diffIds: readonly Digest[]): string {
    const { directory, layers } = this.#options;
    const extent = (sizeBytes: number, path: string): string =>
      `RW ${sizeBytes / SECTOR_BYTES} FLAT "${relative(directory, path)}" 0`;
    const extents = [extent(metadataBytes, this.#path(chainId, 'erofs'))];
    for (const diffId of diffIds) {
      const sizeBytes = layers.info(diffId)?.dataBytes ?? 0;
      if (sizeBytes > 0) extents.push(extent(sizeBytes, layers.dataPath(diffId)));
    }
    return [
      ...['# Disk DescriptorFile', 'version=1', 'CID=fffffffe', 'parentCID=ffffffff'],
      // No empty line before an extent: QEMU would read that extent twice.
      ...['createType="twoGbMaxExtentFlat"', ...extents, ''],
    ].join('\n');
  }

  #path(chainId: Digest, kind: 'erofs' | 'vmdk'): string {
    return join(this.#options.directory, `${hexOf(chainId)}.${kind}`);
  }
}

async function areThere(paths: readonly string[]): Promise<boolean> {
  for (const path of paths) if ((await readSize(path)) === undefined) return false;
  return true;
}

async function readSize(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function rowsOf({ db, toRemove }: State) {
  const get = db.prepare('SELECT * FROM rootfs WHERE chain_id = ?');
  const all = db.prepare('SELECT * FROM rootfs');
  const remove = db.prepare('DELETE FROM rootfs WHERE chain_id = ?');
  const put = db.prepare(
    `INSERT INTO rootfs (chain_id, digest, bytes, seen_as) VALUES (?, ?, ?, ?)
     ON CONFLICT (chain_id) DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes, seen_as = excluded.seen_as`,
  );
  const sealOf = (row: Record<string, unknown>): Seal => ({
    digest: row.digest as Digest,
    sizeBytes: row.bytes as number,
    seenAs: row.seen_as as string,
  });
  return {
    get(chainId: Digest): Seal | undefined {
      const row = get.get(chainId);
      return row && sealOf(row);
    },
    put(chainId: Digest, { digest, sizeBytes, seenAs }: Seal): void {
      put.run(chainId, digest, sizeBytes, seenAs);
    },
    remove(chainId: Digest): void {
      toRemove(() => remove.run(chainId));
    },
    all: () => all.all().map((row) => ({ chainId: row.chain_id as Digest, seal: sealOf(row) })),
  };
}
