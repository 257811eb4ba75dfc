import { HyperError } from '../errors.ts';
import type { MachineId } from '../ids.ts';
import type { Machine, MachineService, MachineShape } from '../machines/machine.ts';
import { identityOf } from './identity.ts';

/** The name of a machine that has no pod yet. */
const IDLE_HOSTNAME = 'hyper';
const MAX_IDLE = 64;

/** Machines without a pod, made by hand or left by a pod that was stopped: they wait for the next one. */
export class IdleMachines {
  readonly #service: MachineService;
  readonly #machines = new Map<string, Machine>();

  constructor(service: MachineService) {
    this.#service = service;
  }

  /** Throws `limit`, and what `MachineService.acquire` throws. */
  async create(shape: MachineShape): Promise<MachineId> {
    if (this.#machines.size >= MAX_IDLE)
      throw new HyperError('limit', `create machine: ${MAX_IDLE} are waiting for a pod already`);
    this.#service.checkShape(shape, { vcpus: 'cpu', memory: 'mem' });
    const machine = await this.#service.acquire({
      shape,
      owner: undefined,
      identity: identityOf(IDLE_HOSTNAME),
    });
    this.keep(machine);
    return machine.id;
  }

  keep(machine: Machine): void {
    this.#machines.set(machine.id, machine);
    void machine.exited.then(() => this.#machines.delete(machine.id));
  }

  /** Hands a machine to a pod. Throws `not-found` for one that is not there, or has a pod. */
  take(id: string): Machine {
    const machine = this.#machines.get(id);
    if (!machine) throw new HyperError('not-found', `Can not find the VM(${id}), or it has a pod`);
    this.#machines.delete(id);
    return machine;
  }

  /** False: there is none of that id. */
  async remove(id: string): Promise<boolean> {
    const machine = this.#machines.get(id);
    this.#machines.delete(id);
    await machine?.stop();
    return machine !== undefined;
  }
}
