import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { HyperError } from '../errors.ts';
import type { GuestMount } from '../guest/index.ts';
import type { PodId } from '../ids.ts';
import type { Machine, SharedPath } from '../machines/machine.ts';
import { checkDiskImage, type DiskFormat, type HostPath, type Volumes } from '../volumes/index.ts';
import type { ContainerRecord } from './pod-records.ts';
import type { PodSpec, VolumeSpec } from './spec/pod-spec.ts';
import { type PlannedMount, type PlannedVolume, planMounts } from './volume-plan.ts';

/** Where a named volume's files are in what is shared of it. */
const NAMED_DATA = 'data';

type Mount = Omit<PlannedMount, 'volume'> & {
  readonly volume:
    | Exclude<PlannedVolume, { kind: 'host' | 'named' | 'disk' }>
    | { readonly kind: 'shared'; readonly path: string; readonly subpath: string; readonly fill: boolean }
    | { readonly kind: 'disk'; readonly name: string; readonly spec: VolumeSpec; readonly image: HostPath };
};

/** What a container's start has of its volumes. */
export interface ContainerVolumes {
  readonly mounts: readonly GuestMount[];
  /** Named volumes that this start may fill: others wait for it. */
  readonly fills: readonly string[];
}

/** The volumes of one pod: what is shared of the host, and disk images, plugged into its machine. The pod serializes its calls. */
export class PodVolumes {
  readonly #pod: PodId;
  readonly #volumes: Volumes;
  /** By name of the disk in the machine. */
  readonly #leases = new Map<string, { readonly lease: Disposable; readonly writes: boolean }>();

  constructor(pod: PodId, volumes: Volumes) {
    this.#pod = pod;
    this.#volumes = volumes;
  }

  /** Throws where a volume cannot be had, before anything is made of it but named volumes. */
  async check(pod: PodSpec, containers: readonly ContainerRecord[]): Promise<void> {
    for (const spec of [...pod.volumes, ...containers.flatMap(detailsOf)]) {
      if (spec.format === 'rbd' || spec.format === 'nas') {
        throw new HyperError(
          'unsupported',
          `use volume "${spec.name}": format "${spec.format}" is not supported; mount it on the host and give it as "vfs"`,
        );
      }
    }
    await this.#resolveAll(pod, containers);
  }

  /** Whether a machine for these containers needs memory that file servers of the host can map. */
  needsSharedMemory(pod: PodSpec, containers: readonly ContainerRecord[]): boolean {
    return containers.some((container) =>
      planMounts(pod, container).some(({ volume }) => volume.kind === 'host' || volume.kind === 'named'),
    );
  }

  /** Paths of the disk images that these containers use. */
  async diskImages(pod: PodSpec, containers: readonly ContainerRecord[]): Promise<string[]> {
    const planned = containers.flatMap((container) => planMounts(pod, container));
    const mounts = await this.#resolve(planned.filter(({ volume }) => volume.kind === 'disk'));
    return mounts.flatMap(({ volume }) => (volume.kind === 'disk' ? [volume.image.path] : []));
  }

  /** Whether the machine has a disk image to write to: what its guest has not written yet is lost where it does not power off. */
  get writesDisks(): boolean {
    return [...this.#leases.values()].some(({ writes }) => writes);
  }

  /** Plugs all that these containers need and the machine does not have. */
  async plugAll(machine: Machine, pod: PodSpec, containers: readonly ContainerRecord[]): Promise<void> {
    await this.#plug(machine, await this.#resolveAll(pod, containers));
  }

  /** A container's volumes; what the machine does not have of them is plugged. */
  async mountsFor(machine: Machine, pod: PodSpec, container: ContainerRecord): Promise<ContainerVolumes> {
    const planned = planMounts(pod, container);
    const mounts = await this.#resolve(planned);
    await this.#plug(machine, mounts);
    const fills = planned.flatMap(({ volume, readOnly }) =>
      volume.kind === 'named' && !readOnly ? [volume.name] : [],
    );
    return { mounts: mounts.map((mount) => guestMount(machine, mount)), fills: [...new Set(fills)] };
  }

  /** At daemon start: holds what the machine of an earlier daemon has. */
  async adopt(machine: Machine, pod: PodSpec, containers: readonly ContainerRecord[]): Promise<void> {
    for (const { volume } of containers.flatMap((container) => planMounts(pod, container))) {
      if (volume.kind !== 'disk') continue;
      const { spec } = volume;
      const image = await this.#volumes.hostPaths
        .resolve(spec.source, `volume ${spec.name}`)
        .catch(() => undefined); // it may have been renamed: the machine has it open
      if (image && machine.hasDisk(diskName(image))) this.#lease(image, !isReadOnly(pod, containers, spec));
    }
  }

  /** Takes disk images out of a machine that is to live on. Throws `precondition` where directories are shared with it: those stay. */
  async unplugAll(machine: Machine): Promise<void> {
    if (machine.shares.length > 0)
      throw new HyperError('precondition', 'keep the machine: directories of the host are shared with it');
    for (const name of this.#leases.keys()) await machine.detachDisk(name);
    this.release();
  }

  /** Lets go of everything; the machine is gone. */
  release(): void {
    for (const { lease } of this.#leases.values()) lease[Symbol.dispose]();
    this.#leases.clear();
  }

  async #resolveAll(pod: PodSpec, containers: readonly ContainerRecord[]): Promise<Mount[]> {
    const mounts: Mount[] = [];
    for (const container of containers) mounts.push(...(await this.#resolve(planMounts(pod, container))));
    return mounts;
  }

  async #resolve(planned: readonly PlannedMount[]): Promise<Mount[]> {
    const mounts: Mount[] = [];
    for (const { volume, ...at } of planned) mounts.push({ ...at, volume: await this.#found(volume, at) });
    return mounts;
  }

  async #found(
    volume: PlannedVolume,
    { readOnly }: { readonly readOnly: boolean },
  ): Promise<Mount['volume']> {
    const { named, hostPaths } = this.#volumes;
    switch (volume.kind) {
      case 'host': {
        const { path } = await hostPaths.resolve(volume.source, `volume ${volume.name}`);
        return { kind: 'shared', path, subpath: '', fill: false };
      }
      case 'named': {
        await named.ensure(volume.name);
        const path = await realpath(named.shared(volume.name));
        return { kind: 'shared', path, subpath: NAMED_DATA, fill: !readOnly };
      }
      case 'disk': {
        const { spec } = volume;
        const what = `volume ${spec.name}`;
        const image = await hostPaths.resolve(spec.source, what);
        if (image.kind !== 'file')
          throw new HyperError(
            'invalid-spec',
            `${what}: source "${spec.source}" is a directory, not a disk image`,
          );
        await checkDiskImage(image.path, spec.format as DiskFormat, what);
        return { kind: 'disk', name: diskName(image), spec, image };
      }
      default:
        return volume;
    }
  }

  async #plug(machine: Machine, mounts: readonly Mount[]): Promise<void> {
    const missing = new Map<string, SharedPath>();
    for (const { volume, readOnly } of mounts) {
      if (volume.kind !== 'shared' || placeOf(machine, volume.path, readOnly)) continue;
      missing.set(`${readOnly} ${volume.path}`, { path: volume.path, readOnly });
    }
    if (missing.size > 0) await machine.attachShare([...missing.values()]);
    const disks = new Map<string, Mount[]>();
    for (const mount of mounts) {
      if (mount.volume.kind !== 'disk') continue;
      disks.set(mount.volume.name, [...(disks.get(mount.volume.name) ?? []), mount]);
    }
    for (const uses of disks.values()) await this.#plugDisk(machine, uses);
  }

  /** `uses`: of one image, which is read-only where all of them are. */
  async #plugDisk(machine: Machine, uses: readonly Mount[]): Promise<void> {
    const [{ volume } = { volume: undefined }] = uses;
    if (volume?.kind !== 'disk') return;
    const { name, image, spec } = volume;
    const readOnly = uses.every((use) => use.readOnly);
    if (machine.hasDisk(name)) {
      if (readOnly || this.#leases.get(name)?.writes) return;
      throw new HyperError(
        'precondition',
        `write to disk image "${image.path}": the pod has it read-only; stop the pod and start it again`,
      );
    }
    this.#lease(image, !readOnly);
    try {
      await machine.attachDisk(
        {
          ...{ path: image.path, format: spec.format as DiskFormat, readOnly },
          ...(spec.cache && { cache: spec.cache }),
        },
        { use: 'volume', name, ...(spec.fstype && { fileSystem: spec.fstype }) },
      );
    } catch (error) {
      this.#leases.get(name)?.lease[Symbol.dispose]();
      this.#leases.delete(name);
      throw error;
    }
  }

  #lease(image: HostPath, writes: boolean): void {
    const name = diskName(image);
    if (this.#leases.has(name)) return;
    const lease = this.#volumes.diskLeases.take(image.identity, image.path, { pod: this.#pod, writes });
    this.#leases.set(name, { lease, writes });
  }
}

function detailsOf({ spec }: ContainerRecord): VolumeSpec[] {
  return spec.volumes.flatMap(({ detail }) => detail ?? []);
}

function isReadOnly(pod: PodSpec, containers: readonly ContainerRecord[], { source }: VolumeSpec): boolean {
  return containers
    .flatMap((container) => planMounts(pod, container))
    .every(({ volume, readOnly }) => volume.kind !== 'disk' || volume.spec.source !== source || readOnly);
}

function diskName({ identity }: HostPath): string {
  return `volume-${createHash('sha256').update(identity).digest('hex').slice(0, 32)}`;
}

/** Where a shared path is in the guest. */
function placeOf(
  machine: Machine,
  path: string,
  readOnly: boolean,
): { readonly name: string; readonly index: number } | undefined {
  for (const { name, paths } of machine.shares) {
    const index = paths.findIndex((shared) => shared.path === path && shared.readOnly === readOnly);
    if (index >= 0) return { name, index };
  }
  return undefined;
}

function guestMount(machine: Machine, { path, readOnly, volume }: Mount): GuestMount {
  switch (volume.kind) {
    case 'shared': {
      const place = placeOf(machine, volume.path, readOnly);
      if (!place)
        throw new HyperError('internal', `mount "${volume.path}": it is not shared with the machine`);
      const subpath = volume.subpath ? `${place.index}/${volume.subpath}` : String(place.index);
      return {
        path,
        readOnly,
        source: { kind: 'share', name: place.name, subpath, fill: volume.fill, mode: 0 },
      };
    }
    case 'disk':
      return { path, readOnly, source: { kind: 'disk', name: volume.name } };
    case 'empty': {
      const { directory: subpath, mode } = volume;
      return { path, readOnly, source: { kind: 'scratch', name: '', subpath, fill: true, mode } };
    }
    case 'tmpfs': {
      const { shared: name, sizeBytes, mode } = volume;
      return { path, readOnly, source: { kind: 'tmpfs', name, sizeBytes, mode } };
    }
  }
}
