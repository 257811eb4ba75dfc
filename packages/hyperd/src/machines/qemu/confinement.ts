import type { MachineUser } from '../machine-users.ts';

/** What of the host a machine's process may come to see, besides its own directory. Nothing else, whatever its guest makes of it. */
export interface Reach {
  /** Files and directories that it may read. */
  readonly read: readonly string[];
  /** That it may also write. */
  readonly write: readonly string[];
  /** Inherited descriptors whose files it opens again. */
  readonly descriptors: readonly number[];
  /** The first descriptor that it is not to have. */
  readonly firstClosed: number;
  /** Whether its network is in its own process, which then needs TCP and UDP of the host's. */
  readonly tcp: boolean;
  /** Whether it opens files of other owners: disk images of users, for root's daemon. */
  readonly foreignFiles: boolean;
  /** Whom it runs as; undefined: as the daemon does. */
  readonly user: MachineUser | undefined;
  /** Where its process id is to be written. */
  readonly pidFile: string;
  /** A network device of the host, and the descriptor that it has it as. */
  readonly tap: { readonly name: string; readonly descriptor: number } | undefined;
}

/** What QEMU and the dynamic loader read at their start. */
const SYSTEM = [
  ...['/usr', '/lib', '/lib64', '/etc/ld.so.cache', '/etc/localtime', '/etc/hosts', '/etc/nsswitch.conf'],
  ...['/proc/self', '/proc/sys/vm', '/sys/devices/system', '/sys/kernel/mm'],
];
const DEVICES = ['/dev/null', '/dev/zero', '/dev/urandom', '/dev/random', '/dev/kvm'];

/** The command line that runs `program` confined: see host/confine.c. */
export function confined(
  confine: string,
  { read, write, descriptors, firstClosed, tcp, foreignFiles, user, pidFile, tap }: Reach,
  [program, ...args]: readonly [string, ...string[]],
): [string, string[]] {
  const options = [
    ...[...SYSTEM, ...read].flatMap((path) => ['-r', path]),
    ...[...DEVICES, ...write].flatMap((path) => ['-w', path]),
    ...descriptors.flatMap((descriptor) => ['-f', String(descriptor)]),
    ...(tcp ? [] : ['-t']),
    ...(foreignFiles ? ['-d'] : []),
    ...(user ? ['-u', String(user.uid), ...user.groups.flatMap((group) => ['-g', String(group)])] : []),
    ...['-c', String(firstClosed), '-p', pidFile, ...(tap ? ['-n', `${tap.descriptor}=${tap.name}`] : [])],
  ];
  return [confine, [...options, '--', program, ...args]];
}
