import type { MachineUser } from '../machine-users.ts';
import type { Places } from './descriptors.ts';

/** What a QEMU may open, and under which names. */
export interface VmFiles {
  /** The machine's. */
  readonly directory: string;
  readonly places: Places;
  /** Whom it runs as; undefined: as the daemon does. */
  readonly user: MachineUser | undefined;
  /** The daemon's own directory: disk images in it are a machine's while it has them. */
  readonly own: string | undefined;
  /** The program that hands it what it cannot open itself. */
  readonly passProgram: string;
}

/** Whether it goes by descriptors, and takes files: one of an earlier version of the daemon does not. */
export function takesFiles({ places, directory }: VmFiles): boolean {
  return places.nameOf(directory) !== directory;
}
