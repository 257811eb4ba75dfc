import type { ContainerStart, GuestAgent, GuestMount, InjectedFile, ProcessSpec } from '../guest/index.ts';
import type { ContainerRecord } from './pod-records.ts';

/** What the pod's machine gives to a container's start. */
export interface StartPlace {
  readonly agent: GuestAgent;
  readonly rootfsDisk: string;
  readonly scratchDisk: string;
  readonly processId: number;
  readonly files: readonly InjectedFile[];
  readonly mounts?: readonly GuestMount[];
}

/** What the guest is told of a container's start. */
export function startOf(record: ContainerRecord, place: StartPlace): ContainerStart {
  return {
    containerId: record.id,
    rootfsDisk: place.rootfsDisk,
    scratchDisk: place.scratchDisk,
    readOnlyRootfs: record.spec.readOnly,
    process: processOf(record, place.processId),
    files: place.files,
    sysctls: record.spec.sysctl,
    mounts: place.mounts ?? [],
  };
}

/** The container's init as a process of the guest. */
export function processOf({ run, spec }: ContainerRecord, id: number): ProcessSpec {
  return {
    ...{ id, args: run.args, env: run.env, cwd: run.cwd, user: run.user, tty: spec.tty },
    additionalGroups: run.additionalGroups,
    ...{ rows: 24, columns: 80, noStdin: false },
    rlimits: spec.ulimits.map(({ name, soft, hard }) => ({
      name,
      soft: limitOf(soft),
      hard: limitOf(hard),
    })),
  };
}

/** Work on the container's files that takes the place of a program. */
export function builtinOf(id: number, builtin: Pick<ProcessSpec, 'args' | 'builtin'>): ProcessSpec {
  return {
    ...{ ...builtin, id, env: [], cwd: '/', user: '0:0', additionalGroups: [], rlimits: [] },
    ...{ tty: false, rows: 0, columns: 0, noStdin: builtin.builtin !== 'extract' },
  };
}

/** A resource limit as the kernel has it: -1, no limit, is RLIM_INFINITY. */
function limitOf(limit: number): bigint {
  return BigInt.asUintN(64, BigInt(limit));
}
