import type { Digest } from '../ids.ts';
import type { ImageService, RootfsLease } from '../images/image-service.ts';
import type { Machine } from '../machines/machine.ts';

const SCRATCH = 'scratch';
const ROOTFS_PREFIX = 'rootfs-';

/** The disks of one pod's machine: a root file system for every image, held while the machine has it, and the writable disk. */
export class PodDisks {
  readonly #images: ImageService;
  readonly #rootfs = new Map<Digest, { readonly name: string; readonly lease: RootfsLease }>();

  constructor(images: ImageService) {
    this.#images = images;
  }

  readonly scratchName = SCRATCH;

  /** The name that the image's disk has in the machine; empty where it has none. */
  nameOf(image: Digest): string {
    return this.#rootfs.get(image)?.name ?? '';
  }

  /** Makes the image's root file system ready, without plugging it. */
  async prepare(image: Digest, signal?: AbortSignal): Promise<void> {
    if (this.#rootfs.has(image)) return;
    const lease = await this.#images.rootfs(image, signal);
    if (this.#rootfs.has(image)) lease[Symbol.dispose]();
    else
      this.#rootfs.set(image, {
        name: `${ROOTFS_PREFIX}${image.slice('sha256:'.length, 'sha256:'.length + 32)}`,
        lease,
      });
  }

  /** Holds what these do, in their place. */
  takeOver(others: PodDisks): void {
    for (const [image, disk] of others.#rootfs) this.#rootfs.set(image, disk);
    others.#rootfs.clear();
  }

  /** Plugs everything that is prepared, and that the machine does not have. `scratch`: path of the writable disk. */
  async plugAll(machine: Machine, scratch: string): Promise<void> {
    const missing = [...this.#rootfs].filter(([, { name }]) => !machine.hasDisk(name));
    await Promise.all([
      machine.hasDisk(SCRATCH) ||
        machine.attachDisk(
          { path: scratch, format: 'raw', readOnly: false },
          { use: 'scratch', name: SCRATCH },
        ),
      ...missing.map(([image]) => this.#plug(machine, image)),
    ]);
  }

  /** Has a running machine get the image's disk, unless it has it already. */
  async plug(machine: Machine, image: Digest): Promise<void> {
    await this.prepare(image);
    if (machine.hasDisk(this.nameOf(image))) return;
    await this.#plug(machine, image);
  }

  /** Takes all disks out of a machine that is to live on without the pod, also those of containers that have been removed since. */
  async unplugAll(machine: Machine): Promise<void> {
    for (const name of machine.diskNames())
      if (name.startsWith(ROOTFS_PREFIX)) await machine.detachDisk(name);
    await machine.detachDisk(SCRATCH);
  }

  /** Lets go of everything; the machine is gone. */
  release(): void {
    for (const { lease } of this.#rootfs.values()) lease[Symbol.dispose]();
    this.#rootfs.clear();
  }

  async #plug(machine: Machine, image: Digest): Promise<void> {
    const disk = this.#rootfs.get(image);
    if (!disk) return;
    const { name, lease } = disk;
    await machine.attachDisk(
      { path: lease.path, format: lease.format, readOnly: true },
      { use: 'rootfs', name },
    );
  }
}
