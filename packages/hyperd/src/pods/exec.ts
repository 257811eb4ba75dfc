import { HyperError } from '../errors.ts';
import type { GuestAgent, GuestProcess, ProcessSpec } from '../guest/index.ts';
import type { ContainerId, ExecId } from '../ids.ts';
import { untilAborted } from './cancel.ts';
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
      // Nobody waits for the guest to forget it; where that fails, the connection has ended, and all of the machine with it.
      process.release().catch(() => undefined);
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
