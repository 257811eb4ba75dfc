import { HyperError } from '../errors.ts';
import { changedServices, type ServiceChange } from './balancing.ts';
import type { PodLife } from './pod-life.ts';
import type { PodMachine } from './pod-machine.ts';
import type { ConnectRequest } from './pod-network.ts';
import type { Sequence } from './sequence.ts';
import type { PortMapping, ServiceSpec } from './spec/pod-spec.ts';
import type { PortSelector } from './spec/port-mapping.ts';

/** What changes of how a pod is reached need of it. */
export interface ConnectedPod {
  readonly life: PodLife;
  readonly machine: PodMachine;
  readonly sequence: Sequence;
  /** Throws where the pod is being removed, or the daemon is ending. */
  requireStaying(action: string): void;
}

/** How others reach a pod, and it them: published ports, networks and balanced services, changed while the pod is there. */
export class PodConnections {
  readonly #pod: ConnectedPod;

  constructor(pod: ConnectedPod) {
    this.#pod = pod;
  }

  /** Publishes more ports: all, or none. A pod that is not alive takes them only `whenStopped`; it gets them with its start. */
  addPorts(added: readonly PortMapping[], { whenStopped = false } = {}): Promise<void> {
    const { life, machine, sequence } = this.#pod;
    return sequence.run(async () => {
      this.#pod.requireStaying('publish ports');
      if (!life.isAlive && !whenStopped)
        throw new HyperError('precondition', `publish ports: the pod ${life.id} is not running`);
      await machine.addPorts(added);
    });
  }

  removePorts(selectors: readonly PortSelector[]): Promise<void> {
    return this.#pod.sequence.run(() => this.#pod.machine.removePorts(selectors));
  }

  /** See `PodNetwork.connect`. A pod that is not alive is on the network with its next start. */
  connectNetwork(request: ConnectRequest): Promise<void> {
    return this.#pod.sequence.run(async () => {
      this.#pod.requireStaying(`connect to network "${request.network}"`);
      this.#requireReady();
      await this.#pod.machine.connectNetwork(request);
    });
  }

  /** See `PodNetwork.disconnect`. */
  disconnectNetwork(network: string): Promise<void> {
    return this.#pod.sequence.run(async () => {
      this.#requireReady();
      await this.#pod.machine.disconnectNetwork(network);
    });
  }

  /** Recorded first: a daemon that dies in between has the next one go on with it. What the guest refuses is taken back. */
  changeServices(change: ServiceChange, given: readonly ServiceSpec[]): Promise<void> {
    const { life, machine, sequence } = this.#pod;
    return sequence.run(async () => {
      this.#pod.requireStaying('change services');
      const { spec } = life.record;
      life.save({ spec: { ...spec, services: changedServices(spec.services, change, given) } });
      try {
        await machine.balance();
      } catch (error) {
        life.save({ spec });
        throw error;
      }
    });
  }

  /** A machine that there is has to run. */
  #requireReady(): void {
    if (this.#pod.life.isAlive) this.#pod.machine.requireRunning();
  }
}
