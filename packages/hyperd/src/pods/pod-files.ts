import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { archiveTar, extractTar, type StartBuiltin } from '../guest/index.ts';
import type { ContainerId } from '../ids.ts';
import type { Container } from './container.ts';
import type { Sequence } from './sequence.ts';
import type { StartPlace } from './start-spec.ts';

/** What work on files needs of its pod. */
export interface FilesOfPod {
  readonly directory: string;
  readonly sequence: Sequence;
  /** Where a process of the container can be started. Throws `precondition` where the pod does not run. */
  placeFor(container: Container, options: { readonly volumes: boolean }): Promise<StartPlace>;
}

/** The files of a pod's containers: those that its specification gives, and what is copied in and out. */
export class PodFiles {
  readonly #pod: FilesOfPod;

  constructor(pod: FilesOfPod) {
    this.#pod = pod;
  }

  /** Keeps the files that a new container is to get with its first start. */
  async keep(container: ContainerId, tar: Buffer): Promise<void> {
    await mkdir(this.#pod.directory, { recursive: true, mode: 0o700 });
    await writeFile(this.#path(container), tar, { mode: 0o600, flush: true });
  }

  /** The container is not to be, or no longer. */
  async forget(container: ContainerId): Promise<void> {
    await rm(this.#path(container), { force: true });
  }

  /** Puts the kept files into a container that does not run. Once: what it changes of them later stays so. */
  async put(container: Container): Promise<void> {
    const path = this.#path(container.record.id);
    const tar = await readIfThere(path);
    if (!tar) return;
    // Into the root file system itself: where a volume is, it is filled with what is below it.
    await extractTar(this.#starter(container, { volumes: false }), '/', [tar]);
    await rm(path);
  }

  /** Unpacks a tar below a directory of the container. */
  async extract(container: Container, directory: string, tar: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#alone(container, () => extractTar(this.#starter(container), directory, tar));
  }

  /** Packs a path of the container as a tar, which `take` reads. */
  async archive(
    container: Container,
    path: string,
    take: (tar: AsyncIterable<Buffer>) => Promise<void>,
  ): Promise<void> {
    await this.#alone(container, () => take(archiveTar(this.#starter(container), path)));
  }

  /** In a container that does not run the work takes the place of its init: nothing may start it meanwhile. */
  async #alone(container: Container, work: () => Promise<void>): Promise<void> {
    if (container.isRunning) await work();
    else await this.#pod.sequence.run(work);
  }

  #starter(container: Container, options = { volumes: !container.isRunning }): StartBuiltin {
    return async (process, sink) =>
      container.startBuiltin(await this.#pod.placeFor(container, options), process, sink);
  }

  #path(container: ContainerId): string {
    return join(this.#pod.directory, `files-${container}.tar`);
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
