import type { MachineId, PodId } from '../ids.ts';
import type { State } from '../state/database.ts';
import type { HostProcess } from './host-process.ts';
import type { MachineShape, SharedPath } from './machine.ts';

export interface PluggedDisk {
  readonly name: string;
  readonly target: number;
}

/** A file server of the machine, and what it serves. */
export interface MachineShare {
  readonly name: string;
  readonly paths: readonly SharedPath[];
  readonly process: HostProcess | undefined;
  /** The guest has mounted it. */
  readonly mounted: boolean;
}

export interface MachineRecord {
  readonly id: MachineId;
  readonly owner: PodId | undefined;
  /** `starting` until its agent has been configured; `pooled`: it is made for the pool, or waits there. */
  readonly phase: 'starting' | 'pooled' | 'running';
  readonly process: HostProcess | undefined;
  /** Whom its process runs as: nobody else, while there is the row. Undefined: as the daemon does. */
  readonly uid: number | undefined;
  /** Directories of its cgroup. */
  readonly cgroups: readonly string[];
  readonly shape: MachineShape;
  readonly disks: readonly PluggedDisk[];
  readonly sharesMemory: boolean;
  readonly shares: readonly MachineShare[];
}

/**
 * Rows of machines: written before the spawn, removed when nothing of the machine is left. No write waits for the disk: a boot of the host ends all machines.
 */
export interface MachineRecords {
  insert(record: MachineRecord): void;
  setProcess(id: MachineId, process: HostProcess): void;
  setRunning(id: MachineId): void;
  setOwner(id: MachineId, owner: PodId | undefined): void;
  /** One of the pool gets its owner, and runs from now on. */
  handOut(id: MachineId, owner: PodId | undefined): void;
  setDisks(id: MachineId, disks: readonly PluggedDisk[]): void;
  setShares(id: MachineId, shares: readonly MachineShare[]): void;
  remove(id: MachineId): void;
  all(): MachineRecord[];
}

export function createMachineRecords({ db, owed, withoutSync }: State): MachineRecords {
  const insert = db.prepare(
    'INSERT INTO machines (id, owner, phase, vcpus, memory_mib, shares_memory, uid, cgroups, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const setProcess = db.prepare('UPDATE machines SET pid = ?, pid_start_ticks = ? WHERE id = ?');
  const setRunning = db.prepare("UPDATE machines SET phase = 'running' WHERE id = ?");
  const handOut = db.prepare("UPDATE machines SET phase = 'running', owner = ? WHERE id = ?");
  const setOwner = db.prepare('UPDATE machines SET owner = ? WHERE id = ?');
  const setDisks = db.prepare('UPDATE machines SET disks = ? WHERE id = ?');
  const setShares = db.prepare('UPDATE machines SET shares = ? WHERE id = ?');
  const remove = db.prepare('DELETE FROM machines WHERE id = ?');
  const all = db.prepare('SELECT * FROM machines');
  return {
    insert({ id, owner, phase, shape, sharesMemory, uid, cgroups }) {
      const { vcpus, memoryMib } = shape;
      withoutSync(() =>
        insert.run(
          ...([id, owner ?? null, phase, vcpus, memoryMib, sharesMemory ? 1 : 0] as const),
          ...([uid ?? null, JSON.stringify(cgroups), Date.now()] as const),
        ),
      );
    },
    setProcess(id, { pid, startTicks }) {
      withoutSync(() => setProcess.run(pid, startTicks, id));
    },
    setRunning(id) {
      withoutSync(() => setRunning.run(id));
    },
    setOwner(id, owner) {
      withoutSync(() => setOwner.run(owner ?? null, id));
    },
    handOut(id, owner) {
      withoutSync(() => handOut.run(owner ?? null, id));
    },
    setDisks(id, disks) {
      withoutSync(() => setDisks.run(JSON.stringify(disks), id));
    },
    setShares(id, shares) {
      withoutSync(() => setShares.run(JSON.stringify(shares), id));
    },
    remove(id) {
      owed.note(`machine ${id}`, () => withoutSync(() => remove.run(id)));
    },
    all: () => all.all().map(recordOf),
  };
}

function recordOf(row: Record<string, unknown>): MachineRecord {
  const pid = row.pid as number | null;
  return {
    id: row.id as MachineId,
    owner: (row.owner as PodId | null) ?? undefined,
    phase: row.phase as MachineRecord['phase'],
    process: pid === null ? undefined : { pid, startTicks: row.pid_start_ticks as number },
    uid: (row.uid as number | null) ?? undefined,
    cgroups: JSON.parse(row.cgroups as string) as string[],
    shape: { vcpus: row.vcpus as number, memoryMib: row.memory_mib as number },
    disks: JSON.parse(row.disks as string) as PluggedDisk[],
    sharesMemory: row.shares_memory === 1,
    shares: JSON.parse(row.shares as string) as MachineShare[],
  };
}
