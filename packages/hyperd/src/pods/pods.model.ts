import type { ErrorCode } from '../errors.ts';
import type { PodView } from './pod-service.ts';
import type { RestartPolicy } from './spec/pod-spec.ts';

/** What a user knows of a container once all that is under way has settled. */
export interface ModelContainer {
  phase: 'pending' | 'running' | 'exited';
  exitCode: number;
  /** It ended while its pod was being paused, and starts again when that goes on. */
  isWaiting?: boolean;
  readonly policy: RestartPolicy;
  readonly isStubborn: boolean;
}

export interface ModelPod {
  phase: 'pending' | 'running' | 'paused' | 'succeeded' | 'failed';
  readonly containers: Map<string, ModelContainer>;
  readonly keepMachine: boolean;
  readonly autoRemove: boolean;
}

/** What a call comes to. */
export type Outcome = 'ok' | ErrorCode;

/** The promises of a pod's life, as simple as they can be said: no time passes in it, restarts are immediate. */
export class PodsModel {
  readonly pods = new Map<string, ModelPod>();
  idleMachines = 0;

  /** The model of what is there: after things that may end in more than one way. */
  become(
    views: readonly PodView[],
    idleMachines: number,
    isStubborn: (args: readonly string[]) => boolean,
  ): void {
    this.pods.clear();
    this.idleMachines = idleMachines;
    for (const { id, state, spec, containers } of views) {
      const phase = state.phase === 'ended' ? state.outcome : state.phase;
      this.pods.set(id, {
        ...{ phase: phase as ModelPod['phase'], keepMachine: spec.keepMachine, autoRemove: spec.autoRemove },
        containers: new Map(
          containers.map(({ name, state: own, args, spec: { restartPolicy } }) => [
            name,
            {
              ...{ phase: own.phase, exitCode: own.phase === 'exited' ? own.exitCode : 0 },
              ...(own.phase === 'exited' && own.restartsAt !== undefined ? { isWaiting: true } : {}),
              ...{ policy: restartPolicy, isStubborn: isStubborn(args) },
            },
          ]),
        ),
      });
    }
  }

  create(id: string, pod: Omit<ModelPod, 'phase'>): Outcome {
    if (this.pods.has(id)) return 'conflict';
    this.pods.set(id, { ...pod, phase: 'pending' });
    return 'ok';
  }

  start(id: string): Outcome {
    const pod = this.pods.get(id);
    if (!pod) return 'not-found';
    if (pod.phase === 'paused') return 'precondition';
    this.#startAll(pod);
    return 'ok';
  }

  startIn(id: string): Outcome {
    const pod = this.pods.get(id);
    if (!pod || this.idleMachines === 0) return 'not-found';
    if (pod.phase === 'paused') return 'precondition';
    if (pod.phase === 'running') return 'conflict';
    this.idleMachines--;
    this.#startAll(pod);
    return 'ok';
  }

  stop(id: string, { keepMachine, isKilled }: { keepMachine: boolean; isKilled: boolean }): Outcome {
    const pod = this.pods.get(id);
    if (!pod) return 'not-found';
    if (!isAlive(pod)) return 'ok';
    if (keepMachine) this.idleMachines++;
    this.#end(id, pod, ({ isStubborn }) => (isStubborn || isKilled ? 137 : 143));
    return 'ok';
  }

  kill(id: string): Outcome {
    const pod = this.pods.get(id);
    if (!pod) return 'not-found';
    if (isAlive(pod)) this.#end(id, pod, () => 137);
    return 'ok';
  }

  pause(id: string): Outcome {
    return this.#turn(id, 'running', 'paused');
  }

  unpause(id: string): Outcome {
    const outcome = this.#turn(id, 'paused', 'running');
    const pod = this.pods.get(id);
    if (outcome !== 'ok' || !pod) return outcome;
    for (const container of pod.containers.values()) if (container.isWaiting) run(container);
    this.#endIfDone(id, pod);
    return outcome;
  }

  remove(id: string): Outcome {
    return this.pods.delete(id) ? 'ok' : 'not-found';
  }

  addContainer(id: string, name: string, container: ModelContainer): Outcome {
    const pod = this.pods.get(id);
    if (!pod) return 'not-found';
    pod.containers.set(name, container);
    return 'ok';
  }

  startContainer(name: string): Outcome {
    const found = this.#find(name);
    if (!found) return 'not-found';
    if (found.pod.phase !== 'running') return 'precondition';
    run(found.container);
    return 'ok';
  }

  stopContainer(name: string): Outcome {
    return this.#endContainer(name, ({ isStubborn }) => (isStubborn ? 137 : 143));
  }

  killContainer(name: string): Outcome {
    return this.#endContainer(name, () => 137);
  }

  removeContainer(name: string): Outcome {
    const found = this.#find(name);
    if (!found) return 'not-found';
    if (found.pod.phase === 'paused') return 'precondition';
    this.stopContainer(name);
    found.pod.containers.delete(name);
    this.#endIfDone(found.id, found.pod);
    return 'ok';
  }

  /** It ends by itself. */
  containerEnds(name: string, exitCode: number): void {
    const found = this.#find(name);
    if (found?.container.phase !== 'running' || found.pod.phase !== 'running') return;
    const { policy } = found.container;
    if (policy === 'always' || (policy === 'onFailure' && exitCode !== 0)) return;
    Object.assign(found.container, { phase: 'exited', exitCode });
    this.#endIfDone(found.id, found.pod);
  }

  machineDies(id: string): void {
    const pod = this.pods.get(id);
    if (!pod || !isAlive(pod)) return;
    const isRestarted = [...pod.containers.values()].some(({ policy }) => policy !== 'never');
    if (isRestarted) this.#startAll(pod);
    else this.#end(id, pod, () => 255);
  }

  #startAll(pod: ModelPod): void {
    pod.phase = 'running';
    for (const container of pod.containers.values()) run(container);
  }

  #turn(id: string, from: ModelPod['phase'], to: ModelPod['phase']): Outcome {
    const pod = this.pods.get(id);
    if (!pod) return 'not-found';
    if (pod.phase !== from) return 'precondition';
    pod.phase = to;
    return 'ok';
  }

  #endContainer(name: string, exitCode: (container: ModelContainer) => number): Outcome {
    const found = this.#find(name);
    if (!found) return 'not-found';
    if (found.container.phase === 'running' && found.pod.phase === 'paused') return 'precondition';
    delete found.container.isWaiting;
    if (found.container.phase !== 'running') return 'ok';
    Object.assign(found.container, { phase: 'exited', exitCode: exitCode(found.container) });
    this.#endIfDone(found.id, found.pod);
    return 'ok';
  }

  #end(id: string, pod: ModelPod, exitCode: (container: ModelContainer) => number): void {
    for (const container of pod.containers.values()) {
      delete container.isWaiting;
      if (container.phase !== 'running') continue;
      Object.assign(container, { phase: 'exited', exitCode: exitCode(container) });
    }
    pod.phase = 'failed';
    if (pod.autoRemove) this.pods.delete(id);
  }

  #endIfDone(id: string, pod: ModelPod): void {
    const containers = [...pod.containers.values()];
    if (pod.phase !== 'running' || pod.keepMachine || containers.length === 0) return;
    if (containers.some(({ phase }) => phase !== 'exited')) return;
    pod.phase = containers.every(({ exitCode }) => exitCode === 0) ? 'succeeded' : 'failed';
    if (pod.autoRemove) this.pods.delete(id);
  }

  #find(name: string) {
    for (const [id, pod] of this.pods) {
      const container = pod.containers.get(name);
      if (container) return { id, pod, container };
    }
    return undefined;
  }
}

function isAlive(pod: ModelPod): boolean {
  return pod.phase === 'running' || pod.phase === 'paused';
}

function run(container: ModelContainer): void {
  delete container.isWaiting;
  Object.assign(container, { phase: 'running', exitCode: 0 });
}
