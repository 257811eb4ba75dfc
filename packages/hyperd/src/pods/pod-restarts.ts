import { messageOf } from '../errors.ts';
import type { Events } from '../events/index.ts';
import type { Logger } from '../logger.ts';
import type { Container } from './container.ts';
import type { PodLife } from './pod-life.ts';
import { planRestart, Timers } from './restart.ts';

/** What restarting needs of its pod. */
export interface RestartedPod {
  readonly life: PodLife;
  readonly logger: Logger;
  readonly events: Events;
  containers(): readonly Container[];
  start(): Promise<void>;
  /** Starts a container once it is its turn, if it still waits for it then: resolves with whether it did. */
  startContainer(container: Container): Promise<boolean>;
}

/** Whether a container is to be started again. */
export function isWaiting({ state }: Container): boolean {
  return state.phase === 'exited' && state.restartsAt !== undefined;
}

/** Starts what a restart policy wants started, in time: containers of one pod, or the pod whose machine was lost. */
export class PodRestarts {
  readonly #pod: RestartedPod;
  readonly #timers = new Timers();

  constructor(pod: RestartedPod) {
    this.#pod = pod;
  }

  /** For a container that has ended, or that waited when the pod was paused or the daemon ended. */
  planContainer(container: Container): void {
    const { state } = container;
    if (state.phase !== 'exited' || state.restartsAt === undefined) return;
    const { id } = container.record;
    this.#timers.set(id, state.restartsAt, () => {
      this.#restartContainer(container).catch((error: unknown) => {
        this.#pod.logger.info({ container: id, err: messageOf(error) }, 'restart container');
        this.planContainer(container);
      });
    });
  }

  async #restartContainer(container: Container): Promise<void> {
    const { state } = container;
    const restarts = state.phase === 'exited' ? state.restarts : undefined;
    if (await this.#pod.startContainer(container))
      this.#pod.events.container(container.record, 'restart', { restarts });
  }

  /** The machine was lost: where a container's policy asks for it, the pod starts again with a new one. */
  planPod(): void {
    const { state } = this.#pod.life;
    if (state.phase !== 'ended') return;
    const policies = this.#pod.containers().map(({ record }) => record.spec.restartPolicy);
    const policy = policies.find((wanted) => wanted !== 'never') ?? 'never';
    const plan = planRestart(policy, { ...state, failed: true, restarts: state.restarts ?? 0 });
    if (!plan) return;
    this.#pod.life.save({ state: { ...state, ...plan } });
    this.resumePod();
  }

  /** For a pod whose restart was planned before. */
  resumePod(): void {
    const { state } = this.#pod.life;
    if (state.phase !== 'ended' || state.restartsAt === undefined) return;
    this.#timers.set(this.#pod.life.id, state.restartsAt, () => {
      this.#restartPod().catch((error: unknown) => {
        this.#pod.logger.warn({ pod: this.#pod.life.id, err: messageOf(error) }, 'restart pod');
        this.planPod();
      });
    });
  }

  async #restartPod(): Promise<void> {
    await this.#pod.start();
    this.#pod.events.pod(this.#pod.life.record, 'restart');
  }

  /** Somebody has ended the pod: it stays so. */
  cancelPod(): void {
    this.#timers.clear(this.#pod.life.id);
    const { state } = this.#pod.life;
    if (state.phase !== 'ended' || state.restartsAt === undefined) return;
    this.#pod.life.save({ state: { ...state, restartsAt: undefined } });
  }

  clear(container: Container): void {
    this.#timers.clear(container.record.id);
  }

  clearAll(): void {
    this.#timers.clearAll();
  }
}
