import type { ContainerId, ExecId } from '../ids.ts';
import type { State } from '../state/database.ts';

export interface ExecRecord {
  readonly id: ExecId;
  readonly containerId: ContainerId;
  readonly command: readonly string[];
  readonly tty: boolean;
  /** In the machine, of its latest run; undefined: it has not been started. */
  readonly processId: number | undefined;
  /** Of that run; undefined: it has not ended, as far as is known. */
  readonly exitCode: number | undefined;
}

/** Rows of execs, which go with their container's. They are written quickly rather than to the disk: no exec outlives the host's power. */
export interface ExecRecords {
  insert(exec: ExecRecord): void;
  save(exec: ExecRecord): void;
  remove(exec: ExecId): void;
  /** Those of a container, the oldest first. */
  of(container: ContainerId): ExecRecord[];
}

export function createExecRecords(state: State): ExecRecords {
  const { db } = state;
  const insert = db.prepare(
    `INSERT INTO execs (id, container_id, command, tty, process_id, exit_code, position)
     VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(position), 0) + 1 FROM execs WHERE container_id = ?))`,
  );
  const update = db.prepare('UPDATE execs SET process_id = ?, exit_code = ? WHERE id = ?');
  const remove = db.prepare('DELETE FROM execs WHERE id = ?');
  const select = db.prepare('SELECT * FROM execs WHERE container_id = ? ORDER BY position');
  return {
    insert({ id, containerId, command, tty, processId = null, exitCode = null }) {
      state.withoutSync(() => {
        insert.run(
          ...([id, containerId, JSON.stringify(command), tty ? 1 : 0] as const),
          ...([processId, exitCode, containerId] as const),
        );
      });
    },
    save({ id, processId = null, exitCode = null }) {
      state.withoutSync(() => void update.run(processId, exitCode, id));
    },
    remove(id) {
      state.withoutSync(() => void remove.run(id));
    },
    of: (container) =>
      select.all(container).map((row) => ({
        id: row.id as ExecId,
        containerId: container,
        command: JSON.parse(row.command as string) as string[],
        tty: row.tty === 1,
        processId: (row.process_id as number | null) ?? undefined,
        exitCode: (row.exit_code as number | null) ?? undefined,
      })),
  };
}
