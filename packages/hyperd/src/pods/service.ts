import { join } from 'node:path';
import { HyperError } from '../errors.ts';
import type { GuestContainerProcess } from '../guest/index.ts';
import type { ContainerId, Digest, ExecId, MachineId, PodId } from '../ids.ts';
import type { Machine, MachineShape } from '../machines/machine.ts';
import type { Ailment } from '../upkeep/index.ts';
import type { ServiceChange } from './balancing.ts';
import { type CommitOptions, commitContainer } from './commit.ts';
import type { Container } from './container.ts';
import { Discards } from './discards.ts';
import { examinePods } from './examine-pods.ts';
import { Exec } from './exec.ts';
import { IdleMachines } from './idle-machines.ts';
import { Pod } from './pod.ts';
import type { PodContext } from './pod-context.ts';
import { PodCreation } from './pod-creation.ts';
import type { ConnectRequest } from './pod-network.ts';
import { PodRegistry } from './pod-registry.ts';
import type { ClientStreams, PodEnd, PodService, PodUsage, StopOptions } from './pod-service.ts';
import { restorePods } from './restore-pods.ts';
import type { ContainerSpec, PodSpec, PortMapping, ServiceSpec } from './spec/pod-spec.ts';
import type { PortSelector } from './spec/port-mapping.ts';
import { namedVolumesOf } from './volume-plan.ts';

/** The original's bound. */
const MAX_RUNNING_PODS = 1024;

/**
 * The pods of this daemon. `restore` is called once, before anything else, with the machines that outlived an earlier daemon.
 */
export class Pods implements PodService {
  readonly #context: PodContext;
  readonly #idle: IdleMachines;
  readonly #registry = new PodRegistry();
  readonly #creation: PodCreation;

  constructor(context: Omit<PodContext, 'discards' | 'keepMachine' | 'admit' | 'onOver'>) {
    this.#idle = new IdleMachines(context.machines);
    this.#context = {
      ...context,
      discards: new Discards(context.logger),
      keepMachine: (machine) => this.#idle.keep(machine),
      admit: () => this.#requireRoom(),
      onOver: (pod) => void this.#removeOver(pod),
    };
    this.#creation = new PodCreation(this.#context, this.#registry);
    for (const { pod, containers } of context.records.all())
      this.#registry.add(new Pod(pod, containers, this.#context));
  }

  /** See `restorePods`. */
  restore(machines: readonly Machine[]): Promise<void> {
    return restorePods(machines, {
      ...{ registry: this.#registry, context: this.#context, remove: (pod) => this.#remove(pod) },
    });
  }

  async create(spec: PodSpec): Promise<PodId> {
    return (await this.#creation.pod(spec)).id;
  }

  async start(pod: string, { machine }: { readonly machine?: string } = {}): Promise<void> {
    const target = this.#registry.pod(pod, `The pod(${pod}) can not be found, please create it first`);
    if (!machine) return target.start();
    const given = this.#idle.take(machine);
    try {
      await target.start(given);
    } catch (error) {
      if (given.owner === undefined) this.#idle.keep(given); // the pod never had it
      throw error;
    }
  }

  stop(pod: string, options: StopOptions = {}): Promise<void> {
    return this.#registry.pod(pod, `Can not find pod(${pod})`).stop(options);
  }

  createMachine(shape: MachineShape): Promise<MachineId> {
    return this.#idle.create(shape);
  }

  async removeMachine(machine: string): Promise<boolean> {
    const owner = this.#registry.all().find(({ record }) => record.machineId === machine);
    if (owner) await owner.kill();
    return owner !== undefined || this.#idle.remove(machine);
  }

  async kill(pod: string, options: { readonly container?: string; readonly signal: number }): Promise<void> {
    const target = this.#registry.pod(pod, `can not find pod ${pod}`);
    if (options.container === undefined && options.signal === 9) return target.kill();
    const selected = target.containers.filter(
      (c) => options.container === undefined || matches(c, options.container),
    );
    if (options.container !== undefined && selected.length === 0)
      throw new HyperError('not-found', `can not get container ${options.container} in pod ${pod}`);
    await Promise.all(selected.map((container) => target.signalContainer(container, options.signal)));
  }

  pause(pod: string): Promise<void> {
    return this.#registry.pod(pod, `Can not get Pod info with pod ID(${pod})`).pause();
  }

  unpause(pod: string): Promise<void> {
    return this.#registry.pod(pod, `Can not get Pod info with pod ID(${pod})`).unpause();
  }

  async remove(pod: string): Promise<void> {
    await this.#remove(this.#registry.anyPod(pod, `Can not find that Pod(${pod})`));
  }

  list(): ReturnType<Pod['view']>[] {
    return this.#registry
      .all()
      .filter((pod) => !pod.isBeingRemoved)
      .map((pod) => pod.view());
  }

  pod(pod: string): ReturnType<Pod['view']> {
    return this.#registry.pod(pod, `Can not get Pod info with pod ID(${pod})`).view();
  }

  setLabels(pod: string, labels: Readonly<Record<string, string>>, override: boolean): void {
    const target = this.#registry.pod(pod, `Can not get Pod ${pod} info`);
    const known = target.record.spec.labels;
    const taken = Object.keys(labels).find((key) => Object.hasOwn(known, key));
    if (taken !== undefined && !override)
      throw new HyperError('invalid-spec', `Can't update label ${taken} without override flag`);
    target.setLabels({ ...known, ...labels });
  }

  portMappings(pod: string): readonly PortMapping[] {
    return this.#registry.pod(pod, `Pod ${pod} not found`).record.spec.portMappings;
  }

  addPortMappings(pod: string, mappings: readonly PortMapping[]): Promise<void> {
    return this.#registry.pod(pod, `Pod ${pod} not found`).connections.addPorts(mappings);
  }

  deletePortMappings(pod: string, selectors: readonly PortSelector[]): Promise<void> {
    return this.#registry.pod(pod, `Pod ${pod} not found`).connections.removePorts(selectors);
  }

  connectNetwork(pod: string, request: ConnectRequest): Promise<void> {
    return this.#registry.pod(pod, `Pod ${pod} not found`).connections.connectNetwork(request);
  }

  disconnectNetwork(pod: string, network: string): Promise<void> {
    return this.#registry.pod(pod, `Pod ${pod} not found`).connections.disconnectNetwork(network);
  }

  services(pod: string): readonly ServiceSpec[] {
    return this.#registry.pod(pod, `The pod(${pod}) can not be found, please create it first`).record.spec
      .services;
  }

  changeServices(pod: string, change: ServiceChange, services: readonly ServiceSpec[]): Promise<void> {
    return this.#registry
      .pod(pod, `The pod(${pod}) can not be found, please create it first`)
      .connections.changeServices(change, services);
  }

  container(container: string): ReturnType<Container['view']> {
    return this.#registry.find(container, `Can not find container by name(${container})`).container.view();
  }

  addContainer(pod: string, spec: ContainerSpec): Promise<ContainerId> {
    return this.#creation.container(this.#registry.pod(pod, `The pod(${pod}) can not be found`), spec);
  }

  startContainer(container: string): Promise<void> {
    const { pod, container: found } = this.#registry.find(
      container,
      `The container (${container}) can not be found`,
    );
    return pod.startContainer(found);
  }

  stopContainer(container: string, options: { readonly graceMs?: number } = {}): Promise<void> {
    const { pod, container: found } = this.#registry.find(container, `can not found container ${container}`);
    return pod.stopContainer(found, options.graceMs);
  }

  killContainer(container: string, signal: number): Promise<void> {
    const { pod, container: found } = this.#registry.find(container, `can not find container ${container}`);
    return pod.signalContainer(found, signal);
  }

  removeContainer(container: string): Promise<void> {
    const { pod, container: found } = this.#registry.find(container, `cannot find container ${container}`);
    return pod.removeContainer(found);
  }

  renameContainer(container: string, name: string): void {
    const { container: found } = this.#registry.find(
      container,
      `caonnot find pod contains container ${container} to rename`,
    );
    if (found.record.name === name) return;
    using _name = this.#registry.holdNames([name]);
    found.rename(name);
  }

  wait(container: string, signal: AbortSignal): Promise<number> {
    return this.#registry.find(container, `cannot find container ${container}`).container.wait(signal);
  }

  waitPod(pod: string, options: { readonly next: boolean; readonly signal: AbortSignal }): Promise<PodEnd> {
    return this.#registry.pod(pod, `Can not find pod(${pod})`).untilOver(options);
  }

  async attach(container: string, client: ClientStreams): Promise<void> {
    const found = this.#registry.find(container, `cannot find container ${container}`).container;
    this.#context.events.container(found.record, 'attach');
    await found.attach(client);
  }

  logs(container: string, options: Parameters<PodService['logs']>[1]): ReturnType<PodService['logs']> {
    const { pod, container: found } = this.#registry.find(container, `cannot find container ${container}`);
    return this.#context.logs.read(found.record, pod.record.spec.log, options);
  }

  createExec(
    container: string,
    options: { readonly command: readonly string[]; readonly tty: boolean },
  ): ExecId {
    const found = this.#registry.find(container, `cannot find container ${container}`).container;
    const exec = found.execs.create(options.command, options.tty);
    this.#context.events.container(found.record, 'exec_create', { exec, command: options.command.join(' ') });
    return exec;
  }

  execHasTty(container: string, exec: string): boolean {
    return this.#registry.find(container, `cannot find container ${container}`).container.execs.get(exec).tty;
  }

  async startExec(container: string, exec: string, client: ClientStreams): Promise<void> {
    const { pod, container: found } = this.#registry.find(container, `cannot find container ${container}`);
    const target = found.execs.get(exec);
    if (!found.isRunning)
      throw new HyperError('precondition', `start exec: container "${found.record.name}" is not running`);
    const process = found.execProcess(target, pod.newProcessId());
    const about = { exec: target.id, command: target.command.join(' ') };
    const { events } = this.#context;
    await target.run(pod.agent, found.record.id, process, client, {
      started: () => events.container(found.record, 'exec_start', about),
      ended: (exitCode) => events.container(found.record, 'exec_die', { ...about, exitCode }),
    });
  }

  waitExec(container: string, exec: string, signal: AbortSignal): Promise<number> {
    return this.#registry
      .find(container, `cannot find container ${container}`)
      .container.execs.get(exec)
      .wait(signal);
  }

  async signalExec(container: string, exec: string, signal: number): Promise<void> {
    const { container: found } = this.#registry.find(container, `cannot find container ${container}`);
    await found.execs.get(exec).signal(signal);
  }

  async execInMachine(pod: string, command: readonly string[], client: ClientStreams): Promise<number> {
    const target = this.#registry.pod(pod, `The pod(${pod}) can not be found`);
    const record = { id: 'exec-machine' as ExecId, containerId: '' as ContainerId, command, tty: false };
    const exec = new Exec({ ...record, processId: undefined, exitCode: undefined }, () => undefined);
    const process = {
      ...{ id: target.newProcessId(), args: command, env: [], cwd: '/', user: '', additionalGroups: [] },
      ...{ tty: false, rows: 0, columns: 0, noStdin: false, rlimits: [] },
    };
    await exec.run(target.agent, '', process, client);
    return exec.wait(client.signal);
  }

  async resizeTty(
    container: string,
    exec: string | undefined,
    size: { readonly rows: number; readonly columns: number },
  ): Promise<void> {
    const found = this.#registry.find(container, `cannot find container ${container}`).container;
    const target = exec === undefined ? found : found.execs.get(exec);
    await target.resize(size.rows, size.columns);
  }

  async stats(pod: string): Promise<PodUsage> {
    const target = this.#registry.pod(pod, `Can not get Pod stats with pod ID(${pod})`);
    if (target.record.state.phase !== 'running')
      throw new HyperError('precondition', `Can not get pod stats for non-running pod (${pod})`);
    return target.usage();
  }

  async processes(container: string): Promise<readonly GuestContainerProcess[]> {
    const { pod, container: found } = this.#registry.find(container, `cannot find container ${container}`);
    if (!found.isRunning)
      throw new HyperError('precondition', `list processes: container "${found.record.name}" is not running`);
    return pod.agent.containerProcesses(found.record.id);
  }

  async extract(container: string, directory: string, tar: AsyncIterable<Uint8Array>): Promise<void> {
    const { pod, container: found } = this.#registry.find(container, `cannot find container ${container}`);
    await pod.files.extract(found, directory, tar);
    this.#context.events.container(found.record, 'extract', { path: directory });
  }

  async archive(
    container: string,
    path: string,
    take: (tar: AsyncIterable<Buffer>) => Promise<void>,
  ): Promise<void> {
    const { pod, container: found } = this.#registry.find(container, `cannot find container ${container}`);
    await pod.files.archive(found, path, take);
    this.#context.events.container(found.record, 'archive', { path });
  }

  async commit(container: string, options: CommitOptions): Promise<Digest> {
    const { pod, container: found } = this.#registry.find(container, `No such container: ${container}`);
    const id = await commitContainer(pod, found, this.#context.images, options);
    this.#context.events.container(found.record, 'commit', { imageId: id, reference: options.reference });
    return id;
  }

  podsOfVolume(volume: string): PodId[] {
    return this.#registry
      .all()
      .filter((pod) => {
        const records = pod.containers.map(({ record }) => record);
        return namedVolumesOf(pod.record.spec, records).has(volume);
      })
      .map(({ id }) => id);
  }

  containersOfImage(image: string): ContainerId[] {
    return [...this.#registry.containers()]
      .filter(({ container }) => container.record.imageId === image)
      .map(({ container }) => container.record.id);
  }

  async examine(): Promise<Ailment[]> {
    await this.#context.discards.settle(); // what is on its way out is no ailment
    return await examinePods({
      ...{ directory: join(this.#context.root, 'pods'), pods: this.#registry.all() },
      isKnown: (id) => this.#registry.has(id),
      remove: (pod) => this.#remove(pod),
    });
  }

  /** Lets go of all pods; running ones go on without the daemon. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#registry.all().map((pod) => pod.detach()));
    await this.#context.discards.settle();
  }

  async #remove(pod: Pod): Promise<void> {
    await pod.remove();
    this.#registry.delete(pod);
  }

  async #removeOver(pod: Pod): Promise<void> {
    try {
      await this.#remove(pod);
    } catch (error) {
      this.#context.logger.error({ pod: pod.id, err: error }, 'remove pod that is over');
    }
  }

  #requireRoom(): void {
    if (this.#registry.all().filter((pod) => pod.isAlive).length < MAX_RUNNING_PODS) return;
    throw new HyperError('limit', `There have already been ${MAX_RUNNING_PODS} running Pods`);
  }
}

function matches(container: Container, reference: string): boolean {
  const { id, name } = container.record;
  return name === reference || id.startsWith(reference);
}
