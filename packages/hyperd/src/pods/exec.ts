import { HyperError, isHyperError } from '../errors.ts';
import { CommandError, type GuestAgent, type GuestProcess, type ProcessSpec } from '../guest/index.ts';
import type { ContainerId, ExecId } from '../ids.ts';
import { untilAborted } from './cancel.ts';
import type { ExecRecord } from './exec-records.ts';
import { LOST_EXIT_CODE } from './lifecycle.ts';
import type { ClientStreams } from './pod-service.ts';
import { endOfOutput, Session } from './session.ts';

/** How long a signal waits for a process that has not been started, in ms. */
const START_WAIT_MS = 5_000;

/** One run of an exec. */
interface Run {
  readonly process: Promise<GuestProcess>;
  readonly exitCode: Promise<number>;
  ended: boolean;
}

/** A run that an earlier daemon has begun, until it is known what became of it. */
interface Orphan {
  readonly process: PromiseWithResolvers<GuestProcess>;
  readonly exitCode: PromiseWithResolvers<number>;
}

/** Told of a run's beginning and end. */
export interface ExecListener {
  started(): void;
  ended(exitCode: number): void;
}

/**
 * A further process in a container. Made by the container's table of execs, run by `run` (again, once it has ended), kept until its container goes. One that
 * an earlier daemon has started is an orphan until it is adopted or lost.
 */
export class Exec {
  #record: ExecRecord;
  readonly #save: (record: ExecRecord) => void;
  readonly #firstRun = Promise.withResolvers<void>();
  #latest: Run | undefined;
  #orphan: Orphan | undefined;

  /** `save`: called whenever its record changes. */
  constructor(record: ExecRecord, save: (record: ExecRecord) => void) {
    this.#record = record;
    this.#save = save;
    if (record.processId !== undefined) this.#restore(record.exitCode);
  }

  get id(): ExecId {
    return this.#record.id;
  }

  get command(): readonly string[] {
    return this.#record.command;
  }

  get tty(): boolean {
    return this.#record.tty;
  }

  get processId(): number | undefined {
    return this.#record.processId;
  }

  get isRunning(): boolean {
    return this.#latest !== undefined && !this.#latest.ended;
  }

  get isOrphan(): boolean {
    return this.#orphan !== undefined;
  }

  /** Starts the process with `client` attached; resolves when it has ended and the client has all output, or has gone. */
  async run(
    agent: GuestAgent,
    container: ContainerId | '',
    process: ProcessSpec,
    client: ClientStreams,
    listener?: ExecListener,
  ): Promise<void> {
    const session = new Session({ tty: this.tty });
    const attached = session.attach(client);
    this.#change({ processId: process.id, exitCode: undefined });
    const started = agent.startProcess(container, process, session);
    const exitCode = this.#follow(started, session, listener);
    const run: Run = { process: started, exitCode, ended: false };
    this.#latest = run;
    this.#firstRun.resolve();
    try {
      await exitCode;
      await attached;
    } finally {
      run.ended = true;
    }
  }

  async #follow(
    started: Promise<GuestProcess>,
    session: Session,
    listener: ExecListener | undefined,
  ): Promise<number> {
    try {
      const process = await started;
      listener?.started();
      session.bind(process);
      const status = await process.exited;
      this.#change({ exitCode: status.exitCode });
      listener?.ended(status.exitCode);
      session.drain();
      await endOfOutput(session);
      // Nobody waits for the guest to forget it; where that fails, the connection has ended, and all of the machine with it.
      process.release().catch(() => undefined);
      return status.exitCode;
    } catch (error) {
      session.abandon('the process is gone');
      this.#failed(error);
      throw error;
    }
  }

  /** What its exit code is for who asks later; a daemon that ends leaves it to the next one. */
  #failed(error: unknown): void {
    if (isHyperError(error, 'canceled')) return;
    this.#change({ exitCode: error instanceof CommandError ? error.exitCode : LOST_EXIT_CODE });
  }

  #restore(exitCode: number | undefined): void {
    const orphan = {
      process: Promise.withResolvers<GuestProcess>(),
      exitCode: Promise.withResolvers<number>(),
    };
    orphan.process.promise.catch(() => undefined); // nobody has to signal it
    this.#latest = {
      ...{ process: orphan.process.promise, exitCode: orphan.exitCode.promise },
      ended: exitCode !== undefined,
    };
    if (exitCode === undefined) this.#orphan = orphan;
    else orphan.exitCode.resolve(exitCode);
    this.#firstRun.resolve();
  }

  /** Follows an orphan's process, which was found in the machine. Its output goes nowhere: the client is gone. */
  adopt(process: GuestProcess): void {
    const orphan = this.#orphan;
    if (!orphan) return;
    this.#orphan = undefined;
    orphan.process.resolve(process);
    process.exited.then(
      ({ exitCode }) => this.#endOrphan(orphan, exitCode),
      (error: unknown) => {
        if (!isHyperError(error, 'canceled')) this.#endOrphan(orphan, LOST_EXIT_CODE);
      },
    );
  }

  /** An orphan has ended, nobody knows how; others are left alone. */
  lose(): void {
    const orphan = this.#orphan;
    if (!orphan) return;
    this.#orphan = undefined;
    orphan.process.reject(new HyperError('precondition', `exec ${this.id}: it is not running`));
    this.#endOrphan(orphan, LOST_EXIT_CODE);
  }

  #endOrphan({ exitCode }: Orphan, code: number): void {
    if (this.#latest) this.#latest.ended = true;
    this.#change({ exitCode: code });
    exitCode.resolve(code);
  }

  #change(change: Partial<ExecRecord>): void {
    this.#record = { ...this.#record, ...change };
    this.#save(this.#record);
  }

  /** The exit code of its latest run; waits for the first one to begin. Rejects `canceled` on abort. */
  async wait(signal: AbortSignal): Promise<number> {
    await untilAborted(this.#firstRun.promise, signal, `wait for exec ${this.id}`);
    return untilAborted(this.#latest?.exitCode ?? Promise.resolve(0), signal, `wait for exec ${this.id}`);
  }

  /**
   * Signals its process. A client that starts it and signals it at once may be heard in the other order: the start is waited for, a short while.
   * Rejects `precondition` where it does not run.
   */
  async signal(signal: number): Promise<void> {
    const soon = AbortSignal.timeout(START_WAIT_MS);
    await untilAborted(this.#firstRun.promise, soon, `start of exec ${this.id}`).catch(() => undefined);
    if (!this.#latest || !this.isRunning) {
      throw new HyperError('precondition', `signal exec ${this.id}: it is not running`);
    }
    await (await this.#latest.process).signal(signal);
  }

  async resize(rows: number, columns: number): Promise<void> {
    await (await this.#latest?.process)?.resize(rows, columns);
  }
}
