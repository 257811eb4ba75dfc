import type { Events } from '../events/index.ts';
import type { Logger } from '../logger.ts';
import type { State } from '../state/database.ts';
import { DiskLeases } from './disk-images.ts';
import { HostPaths } from './host-paths.ts';
import { NamedVolumes } from './named-volumes.ts';
import { Turns } from './turns.ts';

export { checkDiskImage, type DiskFormat } from './disk-images.ts';
export type { HostPath } from './host-paths.ts';
export type { NamedVolumes, Volume, VolumeUsers } from './named-volumes.ts';
export { checkVolumeName } from './volume-name.ts';

/** What volumes are made of on the host. */
export interface Volumes {
  readonly named: NamedVolumes;
  readonly hostPaths: HostPaths;
  readonly diskLeases: DiskLeases;
  /** Starts of containers that may fill the same named volume. */
  readonly fills: Turns;
}

/** `roots`: directories that host paths may come from. */
export async function openVolumes(options: {
  readonly root: string;
  readonly state: State;
  readonly logger: Logger;
  readonly events: Events;
  readonly roots: readonly string[];
}): Promise<Volumes> {
  const named = new NamedVolumes(options);
  await named.open();
  return { named, hostPaths: new HostPaths(options.roots), diskLeases: new DiskLeases(), fills: new Turns() };
}
