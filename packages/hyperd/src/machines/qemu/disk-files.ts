import { lchown, link, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, messageOf } from '../../errors.ts';
import type { DiskImage } from '../machine.ts';
import { passFile } from './pass-file.ts';
import type { Qmp } from './qmp.ts';
import { takesFiles, type VmFiles } from './vm-files.ts';

/** Brings the files of disk images into a QEMU's reach: it sees no others, whatever its guest makes of it. */
export class DiskFiles {
  readonly #files: VmFiles;
  readonly #qmp: Qmp;

  constructor(files: VmFiles, qmp: Qmp) {
    this.#files = files;
    this.#qmp = qmp;
  }

  /** The name by which QEMU opens the image. Rejects `machine`. */
  async open(target: number, disk: DiskImage): Promise<string> {
    const { places, user } = this.#files;
    if (this.#isReadByAll(disk)) return places.nameOf(disk.path);
    if (user && !this.#isOwn(disk)) return this.#passed(target, disk);
    await this.#handOver(disk);
    return places.nameOf(await this.#linked(target, disk));
  }

  /** Lets go of it; QEMU has closed it, or never opened it. */
  async close(target: number): Promise<void> {
    await rm(this.#linkOf(target), { force: true });
    if (this.#files.user) await this.#takeBack(target);
  }

  /** An earlier daemon may have passed it: QEMU is asked in any case. */
  async #takeBack(target: number): Promise<void> {
    try {
      await this.#qmp.execute('remove-fd', { 'fdset-id': target });
    } catch (error) {
      if (!/not found/.test(messageOf(error))) throw error;
    }
  }

  /** One in the directories of images, which names others relative to itself. */
  #isReadByAll({ path, readOnly }: DiskImage): boolean {
    const { places, directory } = this.#files;
    return readOnly && !path.startsWith(`${directory}/`) && places.nameOf(path) !== path;
  }

  #isOwn({ path }: DiskImage): boolean {
    const { own } = this.#files;
    return own !== undefined && path.startsWith(`${own}/`);
  }

  /** A disk image of the daemon's belongs to whom its machine runs as, who may be another one than that of the machine that had it before. */
  async #handOver(disk: DiskImage): Promise<void> {
    if (process.geteuid?.() !== 0 || !this.#isOwn(disk)) return;
    const uid = this.#files.user?.uid ?? 0;
    await lchown(disk.path, uid, uid);
  }

  /** QEMU gets it open. */
  async #passed(target: number, { path, readOnly }: DiskImage): Promise<string> {
    if (!takesFiles(this.#files)) return path;
    await this.#takeBack(target); // of a plugging that failed: QEMU would open that one
    const command = { execute: 'add-fd', arguments: { 'fdset-id': target, opaque: 'disk' } };
    await passFile(this.#files, { how: readOnly ? 'ro' : 'rw', name: path, commands: [command] });
    return `/dev/fdset/${target}`;
  }

  /**
   * A second name in the machine's directory, so that no other machine's process comes to see it. Where that cannot be, as on another file system, the machine
   * has to have been told of it at its start.
   */
  async #linked(target: number, { path, format }: DiskImage): Promise<string> {
    if (format === 'vmdk') return path; // it names other files relative to itself, all of them images'
    const name = this.#linkOf(target);
    await rm(name, { force: true }); // left by a plugging that failed
    try {
      await link(path, name);
      return name;
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (['EXDEV', 'EPERM', 'EMLINK', 'ENOENT'].includes(code)) return path; // QEMU says what is wrong with it
      throw new HyperError('machine', `use disk image ${path}: ${messageOf(error)}`, { cause: error });
    }
  }

  #linkOf(target: number): string {
    return join(this.#files.directory, `disk${target}.img`);
  }
}
