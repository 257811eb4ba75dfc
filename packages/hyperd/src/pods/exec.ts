import type { GuestAgent, GuestProcess, ProcessSpec } from '../guest/index.ts';
import type { ContainerId, ExecId } from '../ids.ts';
import { untilAborted } from './cancel.ts';
import type { ClientStreams } from './pod-service.ts';
import { endOfOutput, Session } from './session.ts';

/** One run of an exec. */
interface Run {
  readonly process: Promise<GuestProcess>;
  readonly exitCode: Promise<number>;
  ended: boolean;
}

/** Told of a run's beginning and end. */
export interface ExecListener {
  started(): void;
  ended(exitCode: number): void;
}

/**
 * A further process in a container. Made by `Container.createExec`, run by `run` (again, once it has ended), kept until its container goes.
 */
export class Exec {
  readonly id: ExecId;
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly #firstRun = Promise.withResolvers<void>();
  #latest: Run | undefined;

  constructor(id: ExecId, command: readonly string[], tty: boolean) {
    this.id = id;
    this.command = command;
    this.tty = tty;
  }

  get isRunning(): boolean {
    return this.#latest !== undefined && !this.#latest.ended;
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
      listener?.ended(status.exitCode);
      session.drain();
      await endOfOutput(session);
      await process.release();
      return status.exitCode;
    } catch (error) {
      session.abandon('the process is gone');
      throw error;
    }
  }

  /** The exit code of its latest run; waits for the first one to begin. Rejects `canceled` on abort. */
  async wait(signal: AbortSignal): Promise<number> {
    await untilAborted(this.#firstRun.promise, signal, `wait for exec ${this.id}`);
    return untilAborted(this.#latest?.exitCode ?? Promise.resolve(0), signal, `wait for exec ${this.id}`);
  }

  async resize(rows: number, columns: number): Promise<void> {
    await (await this.#latest?.process)?.resize(rows, columns);
  }
}
