import { messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { MachineExit } from '../machines/machine.ts';
import type { Container } from './container.ts';
import { LOST_EXIT_CODE, outcomeOf } from './lifecycle.ts';
import { POWEROFF_GRACE_MS, STOP_GRACE_MS } from './pod-context.ts';
import type { PodLife } from './pod-life.ts';
import type { PodMachine } from './pod-machine.ts';
import { isWaiting, type PodRestarts } from './pod-restarts.ts';
import type { Sequence } from './sequence.ts';

const SIGKILL_EXIT_CODE = 137;

/** What ending needs of its pod. */
export interface EndingPod {
  readonly life: PodLife;
  readonly sequence: Sequence;
  readonly machine: PodMachine;
  readonly restarts: PodRestarts;
  readonly logger: Logger;
  containers(): readonly Container[];
  /** It has ended, and nothing will start it again by itself. */
  onOver(): void;
}

/** The ways in which a pod ends: told to, by itself, or because its machine is gone. Called by the pod within its sequence, if it does not say otherwise. */
export class PodShutdown {
  readonly #pod: EndingPod;
  /** Why the machine is gone, while the pod is still to be told. */
  #lost: MachineExit | undefined;

  constructor(pod: EndingPod) {
    this.#pod = pod;
  }

  /** Whatever goes wrong on the way: the machine ends. */
  async stopGently(graceMs: number, keepMachine: boolean): Promise<void> {
    const { life, machine, logger } = this.#pod;
    const wasPaused = life.phase === 'paused';
    if (life.phase !== 'stopping') life.apply({ type: 'stop' });
    let poweroffMs = POWEROFF_GRACE_MS;
    try {
      if (wasPaused) await machine.held?.resume(); // a frozen guest hears no signal
      await Promise.all(this.#pod.containers().map((container) => container.stop(graceMs)));
      if (keepMachine && !this.#lost) await machine.giveBack();
    } catch (error) {
      logger.warn({ pod: life.id, err: error }, 'stop pod; its machine is ended');
      poweroffMs = 0;
    }
    await this.end('failed', undefined, poweroffMs);
  }

  /** Of a machine that the pod still had. To be called at once, outside of the sequence: an operation that runs may be waiting for these containers. */
  machineGone(exit: MachineExit): void {
    this.#lost = exit;
    const exitCode = exit.kind === 'stopped' ? SIGKILL_EXIT_CODE : LOST_EXIT_CODE;
    for (const container of this.#pod.containers()) container.lose(exitCode, reasonOf(exit));
    this.#later(async () => {
      if (this.#lost !== exit || !this.#pod.life.isAlive) return;
      await this.end('failed', undefined, 0);
      if (exit.kind !== 'stopped') this.#pod.restarts.planPod();
    });
  }

  /** The pod is over once no container of it runs or waits for its start; one without containers, or that is to stay, goes on. */
  async endIfDone(): Promise<void> {
    const { state, spec } = this.#pod.life.record;
    const containers = this.#pod.containers();
    if (state.phase !== 'running' || spec.keepMachine || this.#lost || containers.length === 0) return;
    const states = containers.map((container) => container.state);
    if (!states.every(({ phase }) => phase === 'exited') || containers.some(isWaiting)) return;
    const graceMs = spec.autoRemove ? this.#pod.machine.farewellMs : POWEROFF_GRACE_MS;
    await this.end(outcomeOf(states), undefined, graceMs);
  }

  /** As `endIfDone`, after what is under way. May be called outside of the sequence. */
  endIfDoneLater(): void {
    this.#later(() => this.endIfDone());
  }

  /** What ran was lost without a word. */
  async endLost(message: string): Promise<void> {
    for (const container of this.#pod.containers()) container.lose(LOST_EXIT_CODE, message);
    await this.end('failed', message, 0);
  }

  /** Records the end, then gives the machine and the disks back. */
  async end(outcome: 'succeeded' | 'failed', message: string | undefined, graceMs: number): Promise<void> {
    const { life, machine, restarts } = this.#pod;
    const reason = this.#lost ? reasonOf(this.#lost) : message;
    restarts.clearAll();
    for (const container of this.#pod.containers())
      container.lose(SIGKILL_EXIT_CODE, reason ?? 'its pod was stopped');
    life.apply({ type: 'end', outcome, at: Date.now(), message: reason });
    await machine.end(graceMs);
    this.#lost = undefined;
    this.tellOver();
  }

  /** Only after what is under way: a restart may be planned by then. */
  tellOver(): void {
    this.#later(async () => {
      if (this.#pod.life.isOver) this.#pod.onOver();
    });
  }

  /** At daemon start, for a pod whose machine an earlier daemon has left running and `adopt` takes up again: what was under way is brought to its end. */
  async resume(adopt: () => Promise<void>): Promise<void> {
    const { life, restarts } = this.#pod;
    const { phase } = life;
    try {
      await adopt();
    } catch (error) {
      await this.endLost(`take over ${phase} pod: ${messageOf(error)}`);
      return;
    }
    if (phase === 'starting') {
      await this.end('failed', 'the daemon ended while the pod was starting', POWEROFF_GRACE_MS);
      restarts.planPod();
    } else if (phase === 'stopping') await this.stopGently(STOP_GRACE_MS, false);
    else if (phase === 'running') {
      for (const container of this.#pod.containers()) restarts.planContainer(container);
      await this.endIfDone();
    }
  }

  #later(work: () => Promise<void>): void {
    const { sequence, logger, life } = this.#pod;
    sequence.run(work).catch((error: unknown) => {
      logger.error({ pod: life.id, err: error }, 'follow up on the pod');
    });
  }
}

/** Why a pod's machine is gone. Nobody but the pod itself stops it. */
function reasonOf(exit: MachineExit): string {
  switch (exit.kind) {
    case 'died':
      return exit.consoleTail
        ? `${exit.message}; its console ended with:\n${exit.consoleTail}`
        : exit.message;
    case 'poweroff':
      return 'the machine was powered off from inside';
    case 'stopped':
      return 'killed';
  }
}
