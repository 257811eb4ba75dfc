import { HyperError, isHyperError, messageOf } from '../errors.ts';
import type { PodId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import type { Machine } from '../machines/machine.ts';
import { chooseFreePort, requireFree } from '../networks/free-port.ts';
import type { HostPorts } from '../networks/host-ports.ts';
import { hostPortText, type PortForward, type PortProtocol } from '../networks/port-forward.ts';
import type { PodLife } from './pod-life.ts';
import type { PortMapping } from './spec/pod-spec.ts';
import { type PortSelector, portPairs } from './spec/port-mapping.ts';

/** Every one costs the machine a socket that it looks after. */
const MAX_PORTS = 1024;
const CHOOSING_TRIES = 16;

/** What publishing needs of its pod. */
export interface PublishingPod {
  readonly life: PodLife;
  readonly hostPorts: HostPorts;
  readonly logger: Logger;
}

/**
 * The published ports of one pod: recorded first, claimed from `HostPorts` while the pod is alive, forwarded by its machine. Called by the
 * pod within its sequence.
 */
export class PodPorts {
  readonly #pod: PublishingPod;
  #claimed: readonly PortForward[] = [];

  constructor(pod: PublishingPod) {
    this.#pod = pod;
  }

  /** For a pod that is being created. Throws as `claim`, which has the last word. */
  async check(): Promise<void> {
    const { claimed } = await this.#claim(this.#mappings);
    this.#pod.hostPorts.release(this.#id, claimed);
  }

  /**
   * Claims the host ports of a pod that is about to start, and chooses those that are left to us. Throws `conflict` naming who has a port,
   * `limit`, and as `requireFree`.
   */
  async claim(): Promise<void> {
    const { mappings, claimed } = await this.#claim(this.#mappings);
    this.#claimed = claimed;
    if (mappings.some((mapping, index) => mapping !== this.#mappings[index])) this.#save(mappings);
  }

  /** Has the machine forward what was claimed. */
  async open(machine: Machine): Promise<void> {
    for (const forward of this.#claimed) await this.#forward(machine, forward);
  }

  /** For a machine of an earlier daemon, which may have died in the middle of a change: forwards what is recorded, and nothing else. */
  async adopt(machine: Machine): Promise<void> {
    const { hostPorts, logger } = this.#pod;
    const id = this.#id;
    const wanted = this.#mappings
      .filter(({ hostPort }) => hostPort !== '')
      .flatMap((mapping) => this.#forwardsOf(mapping));
    try {
      hostPorts.claim(id, wanted);
      this.#claimed = wanted;
      const actual = await machine.forwardedPorts();
      for (const forward of without(actual, wanted)) await machine.unforwardPort(forward);
      for (const forward of without(wanted, actual)) await this.#forward(machine, forward);
    } catch (error) {
      logger.warn({ pod: id, err: messageOf(error) }, 'publish ports of a pod that was running');
    }
  }

  /** Publishes more ports, before those that there are: all of them, or none. `machine`: undefined for a pod that is not alive. */
  async add(added: readonly PortMapping[], machine: Machine | undefined): Promise<void> {
    const { hostPorts } = this.#pod;
    const id = this.#id;
    const before = this.#mappings;
    const { mappings, claimed } = await this.#claim(added);
    if (!machine) {
      hostPorts.release(id, claimed);
      this.#save([...added, ...before]);
      return;
    }
    this.#save([...mappings, ...before]);
    const opened: PortForward[] = [];
    try {
      for (const forward of claimed) {
        await this.#forward(machine, forward);
        opened.push(forward);
      }
      this.#claimed = [...claimed, ...this.#claimed];
    } catch (error) {
      this.#save(before);
      await this.#takeBack(machine, opened);
      hostPorts.release(id, claimed);
      throw error;
    }
  }

  /** Takes back every mapping that a selector names; none is no error. */
  async remove(selectors: readonly PortSelector[], machine: Machine | undefined): Promise<void> {
    const isNamed = (mapping: PortMapping): boolean =>
      selectors.some(
        ({ protocol, containerPort }) =>
          protocol === mapping.protocol && containerPort === mapping.containerPort,
      );
    const mappings = this.#mappings;
    const removed = mappings.filter(isNamed);
    if (removed.length === 0) return;
    this.#save(mappings.filter((mapping) => !isNamed(mapping)));
    if (!machine) return;
    const forwards = removed.flatMap((mapping) => this.#forwardsOf(mapping));
    for (const forward of forwards) await machine.unforwardPort(forward);
    this.#claimed = without(this.#claimed, forwards);
    this.#pod.hostPorts.release(this.#id, forwards);
  }

  /** Has a machine that is to live on without the pod forward nothing any more. */
  async close(machine: Machine): Promise<void> {
    for (const forward of this.#claimed) await machine.unforwardPort(forward);
  }

  /** Gives up all claims; the machine does not forward them any more. */
  release(): void {
    this.#pod.hostPorts.release(this.#id, this.#claimed);
    this.#claimed = [];
  }

  get #id(): PodId {
    return this.#pod.life.id;
  }

  get #mappings(): readonly PortMapping[] {
    return this.#pod.life.record.spec.portMappings;
  }

  #save(portMappings: readonly PortMapping[]): void {
    this.#pod.life.save({ spec: { ...this.#pod.life.record.spec, portMappings } });
  }

  async #claim(
    mappings: readonly PortMapping[],
  ): Promise<{ readonly mappings: PortMapping[]; readonly claimed: PortForward[] }> {
    const { hostPorts } = this.#pod;
    const id = this.#id;
    const settled: PortMapping[] = [];
    const claimed: PortForward[] = [];
    try {
      for (const mapping of mappings) {
        const fixed = await this.#withHostPort(mapping);
        const forwards = this.#forwardsOf(fixed);
        if (this.#claimed.length + claimed.length + forwards.length > MAX_PORTS)
          throw new HyperError('limit', `publish ports of pod "${id}": more than ${MAX_PORTS}`);
        hostPorts.claim(id, forwards);
        claimed.push(...forwards);
        settled.push(fixed);
      }
      await requireFree(claimed);
      return { mappings: settled, claimed };
    } catch (error) {
      hostPorts.release(id, claimed);
      throw error;
    }
  }

  /** The mapping with a host port: its own; the one that was chosen before, if it is still to be had; or a new one. */
  async #withHostPort(mapping: PortMapping): Promise<PortMapping> {
    if (mapping.hostPort !== '' && !mapping.isChosen) return mapping;
    if (mapping.isChosen && (await this.#isFree(mapping))) return mapping;
    const { protocol, hostIP } = mapping;
    for (let tries = 0; tries < CHOOSING_TRIES; tries++) {
      const hostPort = String(await chooseFreePort(protocol as PortProtocol, this.#addressOf(hostIP)));
      const chosen = { ...mapping, hostPort, isChosen: true };
      if (this.#forwardsOf(chosen).every((port) => !this.#pod.hostPorts.holderOf(port))) return chosen;
    }
    throw new HyperError('limit', `choose a ${protocol} port for pod "${this.#id}": none is free`);
  }

  async #isFree(mapping: PortMapping): Promise<boolean> {
    const ports = this.#forwardsOf(mapping);
    if (ports.some((port) => this.#pod.hostPorts.holderOf(port))) return false;
    try {
      await requireFree(ports);
      return true;
    } catch {
      return false; // whoever has it
    }
  }

  async #forward(machine: Machine, forward: PortForward): Promise<void> {
    try {
      await machine.forwardPort(forward);
    } catch (error) {
      if (!isHyperError(error, 'unavailable')) throw error;
      await requireFree([forward]); // knows better why not
      throw new HyperError('unavailable', `publish ${hostPortText(forward)}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Takes forwards back on the way out of a failure, which is the error to tell. */
  async #takeBack(machine: Machine, forwards: readonly PortForward[]): Promise<void> {
    for (const forward of forwards) {
      try {
        await machine.unforwardPort(forward);
      } catch (error) {
        this.#pod.logger.warn({ pod: this.#id, err: messageOf(error) }, 'take back published port');
      }
    }
  }

  #forwardsOf(mapping: PortMapping): PortForward[] {
    const { protocol, hostIP } = mapping;
    return portPairs(mapping).map(({ hostPort = 0, containerPort }) => ({
      protocol: protocol as PortProtocol,
      ...{ hostAddress: this.#addressOf(hostIP), hostPort, guestPort: containerPort },
    }));
  }

  #addressOf(hostIP: string): string {
    return hostIP === '' ? this.#pod.hostPorts.defaultAddress : hostIP;
  }
}

/** Those of `forwards` that are not among `others`. */
function without(forwards: readonly PortForward[], others: readonly PortForward[]): PortForward[] {
  const keys = new Set(others.map(keyOf));
  return forwards.filter((forward) => !keys.has(keyOf(forward)));
}

function keyOf({ protocol, hostAddress, hostPort, guestPort }: PortForward): string {
  return `${protocol} ${hostAddress} ${hostPort} ${guestPort}`;
}
