import type { ContainerId, Digest, MachineId, PodId } from '../ids.ts';
import type { State } from '../state/database.ts';
import { createExecRecords, type ExecRecords } from './exec-records.ts';
import type { ContainerState, PodState } from './lifecycle.ts';
import type { RunSpec } from './run-spec.ts';
import type { ContainerSpec, PodSpec } from './spec/pod-spec.ts';

export interface PodRecord {
  readonly id: PodId;
  readonly spec: PodSpec;
  readonly state: PodState;
  readonly machineId: MachineId | undefined;
  readonly createdAt: number;
}

/** Offsets, per output stream. */
export interface StreamOffsets {
  readonly stdout: number;
  readonly stderr: number;
}

export interface ContainerRecord {
  readonly id: ContainerId;
  readonly podId: PodId;
  readonly position: number;
  readonly name: string;
  readonly spec: ContainerSpec;
  readonly imageId: Digest;
  readonly run: RunSpec;
  readonly processId: number | undefined;
  /** What the log held of each stream when the current run began. */
  readonly logBase: StreamOffsets;
  readonly state: ContainerState;
  readonly createdAt: number;
}

export interface SaveOptions {
  /** It is on the disk a moment later: see `State.withoutSync`. */
  readonly isSoon?: boolean;
  /** It tells what has happened: where the disk has no room for it, it is stored later, and nothing is thrown. */
  readonly isFact?: boolean;
  /** It begins a removal: it has to be possible on a full disk, too. */
  readonly isRemoval?: boolean;
}

/** Rows of pods and containers. Every call is one transaction, and durable unless it says otherwise. */
export interface PodRecords {
  readonly execs: ExecRecords;
  insert(pod: PodRecord, containers: readonly ContainerRecord[]): void;
  insertContainer(container: ContainerRecord): void;
  savePod(pod: PodRecord, options?: SaveOptions): void;
  saveContainer(container: ContainerRecord, options?: SaveOptions): void;
  remove(pod: PodRecord): void;
  removeContainer(container: ContainerId): void;
  all(): { readonly pod: PodRecord; readonly containers: readonly ContainerRecord[] }[];
}

type Row = Record<string, unknown>;

export function createPodRecords(state: State): PodRecords {
  const { db } = state;
  const insertPod = db.prepare(
    'INSERT INTO pods (id, spec, state, machine_id, created_at) VALUES (?, ?, ?, ?, ?)',
  );
  const updatePod = db.prepare('UPDATE pods SET spec = ?, state = ?, machine_id = ? WHERE id = ?');
  const deletePod = db.prepare('DELETE FROM pods WHERE id = ?');
  const insertContainer = db.prepare(
    `INSERT INTO containers (id, pod_id, position, name, spec, image_id, run, process_id, log_base, state, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const updateContainer = db.prepare(
    'UPDATE containers SET name = ?, spec = ?, process_id = ?, log_base = ?, state = ? WHERE id = ?',
  );
  const deleteContainer = db.prepare('DELETE FROM containers WHERE id = ?');
  const selectPods = db.prepare('SELECT * FROM pods ORDER BY created_at, id');
  const selectContainers = db.prepare('SELECT * FROM containers WHERE pod_id = ? ORDER BY position');

  const addContainer = (c: ContainerRecord): void => {
    insertContainer.run(
      c.id,
      c.podId,
      c.position,
      c.name,
      JSON.stringify(c.spec),
      c.imageId,
      JSON.stringify(c.run),
      c.processId ?? null,
      JSON.stringify(c.logBase),
      JSON.stringify(c.state),
      c.createdAt,
    );
  };

  /** A row is written whole: it holds what was owed of it. */
  const save = (
    key: string,
    update: () => void,
    { isSoon = false, isFact = false, isRemoval = false }: SaveOptions,
  ): void => {
    const write = isSoon ? () => state.withoutSync(update) : update;
    if (isFact) state.owed.note(key, write);
    else {
      if (isRemoval) state.toRemove(write);
      else write();
      state.owed.forget(key);
    }
  };

  return {
    execs: createExecRecords(state),
    insert(pod, containers) {
      state.transact(() => {
        insertPod.run(
          pod.id,
          JSON.stringify(pod.spec),
          JSON.stringify(pod.state),
          pod.machineId ?? null,
          pod.createdAt,
        );
        containers.forEach(addContainer);
      });
    },
    insertContainer: addContainer,
    savePod(pod, options = {}) {
      const update = () =>
        updatePod.run(JSON.stringify(pod.spec), JSON.stringify(pod.state), pod.machineId ?? null, pod.id);
      save(`pod ${pod.id}`, update, options);
    },
    saveContainer(c, options = {}) {
      const update = () =>
        updateContainer.run(
          c.name,
          JSON.stringify(c.spec),
          c.processId ?? null,
          JSON.stringify(c.logBase),
          JSON.stringify(c.state),
          c.id,
        );
      save(`container ${c.id}`, update, options);
    },
    remove({ id, spec }) {
      const remove = () => state.toRemove(() => deletePod.run(id));
      if (spec.autoRemove) state.withoutSync(remove);
      else remove();
      state.owed.forget(`pod ${id}`);
    },
    removeContainer(container) {
      state.toRemove(() => deleteContainer.run(container));
      state.owed.forget(`container ${container}`);
    },
    all() {
      return selectPods.all().map((row) => ({
        pod: podOf(row),
        containers: selectContainers.all(row.id as string).map(containerOf),
      }));
    },
  };
}

function podOf(row: Row): PodRecord {
  return {
    id: row.id as PodId,
    spec: JSON.parse(row.spec as string) as PodSpec,
    state: JSON.parse(row.state as string) as PodState,
    machineId: (row.machine_id as MachineId | null) ?? undefined,
    createdAt: row.created_at as number,
  };
}

function containerOf(row: Row): ContainerRecord {
  return {
    id: row.id as ContainerId,
    podId: row.pod_id as PodId,
    position: row.position as number,
    name: row.name as string,
    spec: JSON.parse(row.spec as string) as ContainerSpec,
    imageId: row.image_id as Digest,
    run: JSON.parse(row.run as string) as RunSpec,
    processId: (row.process_id as number | null) ?? undefined,
    logBase: JSON.parse(row.log_base as string) as StreamOffsets,
    state: JSON.parse(row.state as string) as ContainerState,
    createdAt: row.created_at as number,
  };
}
