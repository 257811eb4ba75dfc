import { HyperError, messageOf } from '../errors.ts';
import { toldOf } from '../host-failure.ts';
import type { Machine } from '../machines/machine.ts';
import type { Container } from './container.ts';
import type { PodFiles } from './pod-files.ts';
import type { PodLife } from './pod-life.ts';
import type { PodMachine, StartOptions } from './pod-machine.ts';
import { isWaiting, type PodRestarts } from './pod-restarts.ts';
import type { PodShutdown } from './pod-shutdown.ts';
import { StartRecorder, type StartTrace } from './start-trace.ts';

/** What starting needs of its pod. */
export interface StartingPod {
  readonly life: PodLife;
  readonly machine: PodMachine;
  readonly files: PodFiles;
  readonly restarts: PodRestarts;
  readonly shutdown: PodShutdown;
  containers(): readonly Container[];
  /** Throws `limit` where no more pods may run. */
  admit(): void;
}

/** Starts of one pod and of its containers. Called by the pod within its sequence, but for `abort`. */
export class PodStart {
  readonly #pod: StartingPod;
  #starting: AbortController | undefined;
  /** Of its last start by this daemon. */
  #recorder: StartRecorder | undefined;

  constructor(pod: StartingPod) {
    this.#pod = pod;
  }

  /** Whether the pod is being given a machine. */
  get isUnderWay(): boolean {
    return this.#starting !== undefined;
  }

  /** Of the last start; undefined where this daemon has not started the pod. */
  get trace(): StartTrace | undefined {
    return this.#recorder?.trace;
  }

  /** Cuts a start that is under way short; the pod ends. */
  abort(): void {
    this.#starting?.abort();
  }

  /**
   * Gives the pod a machine (`given`, where there is one) and starts its containers. Where there is no machine to be had, the pod ends, and that is thrown;
   * else as `containers`.
   */
  async pod(given?: Machine): Promise<void> {
    await this.#settle(await this.#bringUp(given));
  }

  /** Starts those that do not run, in order. Throws the first failure, once all had their turn and what it means for the pod is done. */
  async containers(containers: readonly Container[]): Promise<void> {
    await this.#settle(await this.#each(containers));
  }

  /** Starts a container that still waits for it; resolves with whether it did. */
  async again(container: Container): Promise<boolean> {
    try {
      if (this.#pod.life.phase !== 'running' || !isWaiting(container)) return false;
      await this.#one(container);
      return true;
    } finally {
      await this.#pod.shutdown.endIfDone();
    }
  }

  async #bringUp(given?: Machine): Promise<readonly unknown[]> {
    const { life, machine, shutdown } = this.#pod;
    life.check('start');
    this.#pod.admit();
    life.apply({ type: 'start' });
    const starting = new AbortController();
    const recorder = new StartRecorder();
    this.#recorder = recorder;
    const { signal } = starting;
    this.#starting = starting;
    try {
      await machine.bringUp(given, { signal, recorder });
      const startedAt = Date.now();
      const failures = await recorder.phase('exec', () =>
        this.#each(this.#pod.containers(), { signal, recorder }),
      );
      signal.throwIfAborted();
      life.apply({ type: 'started', at: startedAt });
      return failures;
    } catch (error) {
      const what = `start pod "${life.id}"`;
      const reason = signal.aborted ? new HyperError('canceled', `${what}: canceled`) : toldOf(error, what);
      await shutdown.end('failed', messageOf(reason), 0);
      throw reason;
    } finally {
      this.#starting = undefined;
      recorder.end();
    }
  }

  /** Resolves with what went wrong. */
  async #each(
    containers: readonly Container[],
    { signal, recorder }: Partial<StartOptions> = {},
  ): Promise<readonly unknown[]> {
    const failures: unknown[] = [];
    for (const container of containers) {
      signal?.throwIfAborted();
      if (container.isRunning || !this.#pod.containers().includes(container)) continue;
      try {
        await this.#one(container, recorder && (() => recorder.firstByte()));
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }

  async #one(container: Container, onOutput?: () => void): Promise<void> {
    this.#pod.restarts.clear(container);
    try {
      await this.#pod.files.put(container);
      await this.#pod.machine.start(container, onOutput);
    } catch (error) {
      container.failStart(error);
      throw error;
    }
  }

  async #settle(failures: readonly unknown[]): Promise<void> {
    await this.#pod.shutdown.endIfDone();
    if (failures.length > 0) throw failures[0];
  }
}
