import { HyperError } from '../errors.ts';
import { type ContainerId, type ExecId, newExecId } from '../ids.ts';
import { Exec } from './exec.ts';
import type { ExecRecords } from './exec-records.ts';

/** Finished execs are kept for their exit codes, this many a container. */
const MAX_EXECS = 1000;

/** The execs of one container, by id, those of earlier daemons as well; the oldest that have ended make room for new ones. */
export class ExecTable {
  readonly #container: { readonly id: ContainerId; readonly name: () => string };
  readonly #records: ExecRecords;
  readonly #execs = new Map<string, Exec>();

  /** `name`: for messages. */
  constructor(container: { readonly id: ContainerId; readonly name: () => string }, records: ExecRecords) {
    this.#container = container;
    this.#records = records;
    for (const record of records.of(container.id)) {
      this.#execs.set(record.id, new Exec(record, (changed) => records.save(changed)));
    }
  }

  /** Throws `limit` where all of them are running. */
  create(command: readonly string[], tty: boolean): ExecId {
    if (this.#execs.size >= MAX_EXECS) this.#dropOldest();
    const id = newExecId();
    const record = { id, containerId: this.#container.id, command, tty };
    const created = { ...record, processId: undefined, exitCode: undefined };
    this.#records.insert(created);
    this.#execs.set(id, new Exec(created, (changed) => this.#records.save(changed)));
    return id;
  }

  /** Throws `not-found`. */
  get(id: string): Exec {
    const exec = this.#execs.get(id);
    if (exec) return exec;
    throw new HyperError('not-found', `no exec ${id} exists for container ${this.#container.name()}`);
  }

  /** The one that an earlier daemon has started as this process of the machine, and that has not ended. */
  orphanOf(processId: number): Exec | undefined {
    return [...this.#execs.values()].find((exec) => exec.isOrphan && exec.processId === processId);
  }

  /** Those that an earlier daemon has started and nobody has found have ended, nobody knows how. */
  loseOrphans(): void {
    for (const exec of this.#execs.values()) exec.lose();
  }

  #dropOldest(): void {
    for (const [id, exec] of this.#execs) {
      if (exec.isRunning) continue;
      this.#execs.delete(id);
      this.#records.remove(exec.id);
      return;
    }
    throw new HyperError(
      'limit',
      `create exec in container "${this.#container.name()}": ${MAX_EXECS} are running`,
    );
  }
}
