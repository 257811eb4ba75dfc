import { HyperError, messageOf } from '../errors.ts';
import type { PodId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import { chooseFreePort, requireFree } from '../networks/free-port.ts';
import type { HostPorts } from '../networks/host-ports.ts';
import type { PortForward, PortForwarder, PortProtocol } from '../networks/port-forward.ts';
import type { PodLife } from './pod-life.ts';
import type { PortMapping } from './spec/pod-spec.ts';
import { type PortSelector, portPairs } from './spec/port-mapping.ts';

/** Every one costs a machine of the user-mode network a socket that it looks after. */
const MAX_PORTS = 1024;
const CHOOSING_TRIES = 16;

/** What publishing needs of its pod. */
export interface PublishingPod {
  readonly life: PodLife;
  readonly hostPorts: HostPorts;
  readonly logger: Logger;
}

/**
 * The published ports of one pod: recorded first, claimed from `HostPorts` while the pod is alive, forwarded by what its network has for that.
 * Called by the pod within its sequence.
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

  /** Forwards what was claimed. */
  async open(forwarder: PortForwarder): Promise<void> {
    await forwarder.forward(this.#claimed);
  }

  /** For a machine of an earlier daemon, which may have died in the middle of a change: forwards what is recorded, and nothing else. */
  async adopt(forwarder: PortForwarder): Promise<void> {
    const { hostPorts, logger } = this.#pod;
    const id = this.#id;
    const wanted = this.#mappings
      .filter(({ hostPort }) => hostPort !== '')
      .flatMap((mapping) => this.#forwardsOf(mapping));
    try {
      hostPorts.claim(id, wanted);
      this.#claimed = wanted;
      const actual = await forwarder.forwarded();
      await forwarder.unforward(without(actual, wanted));
      await forwarder.forward(without(wanted, actual));
    } catch (error) {
      logger.warn({ pod: id, err: messageOf(error) }, 'publish ports of a pod that was running');
    }
  }

  /** Publishes more ports, before those that there are: all of them, or none. `forwarder`: undefined for a pod that is not alive. */
  async add(added: readonly PortMapping[], forwarder: PortForwarder | undefined): Promise<void> {
    const { hostPorts } = this.#pod;
    const id = this.#id;
    const before = this.#mappings;
    const { mappings, claimed } = await this.#claim(added);
    if (!forwarder) {
      hostPorts.release(id, claimed);
      this.#save([...added, ...before]);
      return;
    }
    this.#save([...mappings, ...before]);
    try {
      await forwarder.forward(claimed);
      this.#claimed = [...claimed, ...this.#claimed];
    } catch (error) {
      this.#save(before);
      await this.#takeBack(forwarder, claimed);
      hostPorts.release(id, claimed);
      throw error;
    }
  }

  /** Takes back every mapping that a selector names; none is no error. */
  async remove(selectors: readonly PortSelector[], forwarder: PortForwarder | undefined): Promise<void> {
    const isNamed = (mapping: PortMapping): boolean =>
      selectors.some(
        ({ protocol, containerPort }) =>
          protocol === mapping.protocol && containerPort === mapping.containerPort,
      );
    const mappings = this.#mappings;
    const removed = mappings.filter(isNamed);
    if (removed.length === 0) return;
    this.#save(mappings.filter((mapping) => !isNamed(mapping)));
    if (!forwarder) return;
    const forwards = removed.flatMap((mapping) => this.#forwardsOf(mapping));
    await forwarder.unforward(forwards);
    this.#claimed = without(this.#claimed, forwards);
    this.#pod.hostPorts.release(this.#id, forwards);
  }

  /** Has a machine that is to live on without the pod forward nothing any more. */
  async close(forwarder: PortForwarder): Promise<void> {
    await forwarder.unforward(this.#claimed);
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

  /** Takes forwards back on the way out of a failure, which is the error to tell. */
  async #takeBack(forwarder: PortForwarder, forwards: readonly PortForward[]): Promise<void> {
    try {
      await forwarder.unforward(forwards);
    } catch (error) {
      this.#pod.logger.warn({ pod: this.#id, err: messageOf(error) }, 'take back published ports');
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
