import { HyperError } from '../errors.ts';
import { type ExecId, newExecId } from '../ids.ts';
import { Exec } from './exec.ts';

/** Finished execs are kept for their exit codes, this many a container. */
const MAX_EXECS = 1000;

/** The execs of one container, by id; the oldest that have ended make room for new ones. */
export class ExecTable {
  readonly #container: () => string;
  readonly #execs = new Map<string, Exec>();

  /** `container`: its name, for messages. */
  constructor(container: () => string) {
    this.#container = container;
  }

  /** Throws `limit` where all of them are running. */
  create(command: readonly string[], tty: boolean): ExecId {
    if (this.#execs.size >= MAX_EXECS) this.#dropOldest();
    const exec = new Exec(newExecId(), command, tty);
    this.#execs.set(exec.id, exec);
    return exec.id;
  }

  /** Throws `not-found`. */
  get(id: string): Exec {
    const exec = this.#execs.get(id);
    if (exec) return exec;
    throw new HyperError('not-found', `no exec ${id} exists for container ${this.#container()}`);
  }

  #dropOldest(): void {
    for (const [id, exec] of this.#execs) {
      if (exec.isRunning) continue;
      this.#execs.delete(id);
      return;
    }
    throw new HyperError(
      'limit',
      `create exec in container "${this.#container()}": ${MAX_EXECS} are running`,
    );
  }
}
