import { join } from 'node:path';
import type { Digest, MachineId } from '../ids.ts';
import type { ImageService } from '../images/image-service.ts';
import type { Machine, Outfitter } from '../machines/machine.ts';
import { rehearseContainer } from '../machines/rehearsal.ts';
import type { ScratchDisks } from '../machines/scratch-disk.ts';
import { PodDisks } from './pod-disks.ts';

/** What a machine brings along that is ready for an image. */
export interface ReadyMachine {
  /** Plugged in, and held. Whoever takes them releases them. */
  readonly disks: PodDisks;
  /** The writable disk, empty, in the machine's directory: whoever takes it moves it away. */
  readonly scratch: string;
}

/**
 * Prepares machines of the pool for images: root file system and an empty writable disk are plugged in and mounted, and the image's shell, where it has
 * one, has run once, without a trace on the disk.
 */
export class ReadyImages implements Outfitter {
  readonly #images: ImageService;
  readonly #scratch: ScratchDisks;
  readonly #ready = new Map<MachineId, ReadyMachine>();

  constructor(images: ImageService, scratch: ScratchDisks) {
    this.#images = images;
    this.#scratch = scratch;
  }

  async dress(machine: Machine, image: string, directory: string): Promise<void> {
    const disks = new PodDisks(this.#images);
    const scratch = join(directory, 'scratch.img');
    try {
      await Promise.all([disks.prepare(image as Digest), this.#scratch.ensure(scratch)]);
      await disks.plugAll(machine, scratch);
      await rehearseContainer(machine.agent, {
        rootfsDisk: disks.nameOf(image as Digest),
        scratchDisk: disks.scratchName,
      });
    } catch (error) {
      disks.release();
      throw error;
    }
    this.#ready.set(machine.id, { disks, scratch });
    void machine.exited.then(() => this.take(machine)?.disks.release());
  }

  /** What the machine was prepared with; undefined: it was not, or somebody has it already. */
  take({ id }: Machine): ReadyMachine | undefined {
    const ready = this.#ready.get(id);
    this.#ready.delete(id);
    return ready;
  }
}
