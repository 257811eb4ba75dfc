import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError, messageOf } from '../errors.ts';
import type { GuestStats } from '../guest/index.ts';
import { type ContainerId, type ExecId, type MachineId, newContainerId, type PodId } from '../ids.ts';
import type { Machine, MachineShape } from '../machines/machine.ts';
import type { Container } from './container.ts';
import { Exec } from './exec.ts';
import { IdleMachines } from './idle-machines.ts';
import { Pod, type PodContext } from './pod.ts';
import type { ContainerRecord, PodRecord } from './pod-records.ts';
import type { ClientStreams, PodService } from './pod-service.ts';
import { runSpecOf } from './run-spec.ts';
import type { ContainerSpec, PodSpec } from './spec/pod-spec.ts';
import { filesTar } from './spec-files.ts';
import { refuseUnsupported } from './supported.ts';

/** The original's bound. */
const MAX_PODS = 1024;

/**
 * The pods of this daemon. `restore` is called once, before anything else, with the machines that outlived an earlier daemon.
 */
export class Pods implements PodService {
  readonly #context: PodContext;
  readonly #idle: IdleMachines;
  readonly #pods = new Map<string, Pod>();

  constructor(context: Omit<PodContext, 'keepMachine'>) {
    this.#idle = new IdleMachines(context.machines);
    this.#context = { ...context, keepMachine: (machine) => this.#idle.keep(machine) };
    for (const { pod, containers } of context.records.all()) {
      this.#pods.set(pod.id, new Pod(pod, containers, this.#context));
    }
  }

  /** Takes running pods up again, ends what was half started, removes what belongs to nobody. Never rejects for one pod's sake. */
  async restore(machines: readonly Machine[]): Promise<void> {
    const unclaimed = new Set(machines);
    const work: Promise<void>[] = [];
    for (const pod of this.#pods.values()) {
      const machine = machines.find((m) => m.id === pod.record.machineId);
      if (machine && pod.isAlive) {
        unclaimed.delete(machine);
        work.push(pod.adopt(machine));
      } else work.push(pod.declareLost());
    }
    for (const machine of unclaimed) {
      if (machine.owner === undefined) this.#idle.keep(machine);
      else work.push(machine.stop({ graceMs: 0 }));
    }
    for (const result of await Promise.allSettled(work)) {
      if (result.status === 'rejected') this.#context.logger.error({ err: result.reason }, 'restore pod');
    }
    await this.#removeStrayDirectories();
  }

  async create(spec: PodSpec): Promise<PodId> {
    refuseUnsupported(spec);
    if (this.#pods.has(spec.id)) throw new HyperError('conflict', `pod name ${spec.id} has already in use`);
    if (this.#pods.size >= MAX_PODS)
      throw new HyperError('limit', `There have already been ${MAX_PODS} running Pods`);
    const id = spec.id as PodId;
    const containers: ContainerRecord[] = [];
    for (const [index, container] of spec.containers.entries()) {
      const name = container.name || `${id}-${lastPart(container.image)}-${index}`;
      containers.push(await this.#containerRecord({ ...container, name }, spec, index));
    }
    const record: PodRecord = {
      ...{ id, spec, state: { phase: 'pending' }, machineId: undefined, createdAt: Date.now() },
    };
    const tars = await this.#fileTars(spec, containers);
    this.#requireFreeNames(containers.map((container) => container.name));
    if (this.#pods.has(id)) throw new HyperError('conflict', `pod name ${id} has already in use`);
    const pod = new Pod(record, containers, this.#context);
    this.#pods.set(id, pod); // the name is taken from here on
    try {
      for (const [container, tar] of tars) await pod.files.keep(container, tar);
      this.#context.records.insert(record, containers);
    } catch (error) {
      this.#pods.delete(id);
      await rm(pod.directory, { recursive: true, force: true });
      throw error;
    }
    return id;
  }

  async start(pod: string, { machine }: { readonly machine?: string } = {}): Promise<void> {
    const target = this.#pod(pod, `The pod(${pod}) can not be found, please create it first`);
    if (!machine) return target.start();
    const given = this.#idle.take(machine);
    try {
      await target.start(given);
    } catch (error) {
      if (given.owner === undefined) this.#idle.keep(given); // the pod never had it
      throw error;
    }
  }

  stop(pod: string, options: { readonly keepMachine?: boolean } = {}): Promise<void> {
    return this.#pod(pod, `Can not find pod(${pod})`).stop(options);
  }

  createMachine(shape: MachineShape): Promise<MachineId> {
    return this.#idle.create(shape);
  }

  async removeMachine(machine: string): Promise<boolean> {
    const owner = [...this.#pods.values()].find(({ record }) => record.machineId === machine);
    if (owner) await owner.kill();
    return owner !== undefined || this.#idle.remove(machine);
  }

  async kill(pod: string, options: { readonly container?: string; readonly signal: number }): Promise<void> {
    const target = this.#pod(pod, `can not find pod ${pod}`);
    if (options.container === undefined && options.signal === 9) return target.kill();
    const selected = target.containers.filter(
      (c) => options.container === undefined || matches(c, options.container),
    );
    if (options.container !== undefined && selected.length === 0)
      throw new HyperError('not-found', `can not get container ${options.container} in pod ${pod}`);
    await Promise.all(selected.map((container) => container.signal(options.signal)));
  }

  pause(pod: string): Promise<void> {
    return this.#pod(pod, `Can not get Pod info with pod ID(${pod})`).pause();
  }

  unpause(pod: string): Promise<void> {
    return this.#pod(pod, `Can not get Pod info with pod ID(${pod})`).unpause();
  }

  async remove(pod: string): Promise<void> {
    const target = this.#pod(pod, `Can not find that Pod(${pod})`);
    await target.remove();
    this.#pods.delete(target.id);
  }

  list(): ReturnType<Pod['view']>[] {
    return [...this.#pods.values()].map((pod) => pod.view());
  }

  pod(pod: string): ReturnType<Pod['view']> {
    return this.#pod(pod, `Can not get Pod info with pod ID(${pod})`).view();
  }

  setLabels(pod: string, labels: Readonly<Record<string, string>>, override: boolean): void {
    const target = this.#pod(pod, `Can not get Pod ${pod} info`);
    const known = target.record.spec.labels;
    const taken = Object.keys(labels).find((key) => Object.hasOwn(known, key));
    if (taken !== undefined && !override)
      throw new HyperError('invalid-spec', `Can't update label ${taken} without override flag`);
    target.setLabels({ ...known, ...labels });
  }

  container(container: string): ReturnType<Container['view']> {
    return this.#find(container, `Can not find container by name(${container})`).container.view();
  }

  async addContainer(pod: string, spec: ContainerSpec): Promise<ContainerId> {
    const target = this.#pod(pod, `The pod(${pod}) can not be found`);
    const name = spec.name || `${target.id}-${lastPart(spec.image)}-${newContainerId().slice(0, 10)}`;
    refuseUnsupported({ ...target.record.spec, containers: [spec] });
    const position = Math.max(-1, ...target.containers.map((c) => c.record.position)) + 1;
    const record = await this.#containerRecord({ ...spec, name }, target.record.spec, position);
    const tars = await this.#fileTars({ ...target.record.spec, containers: [record.spec] }, [record]);
    for (const [container, tar] of tars) await target.files.keep(container, tar);
    this.#requireFreeNames([name]);
    return target.addContainer(record).record.id;
  }

  startContainer(container: string): Promise<void> {
    const { pod, container: found } = this.#find(container, `The container (${container}) can not be found`);
    return pod.startContainer(found);
  }

  async stopContainer(container: string): Promise<void> {
    const { pod, container: found } = this.#find(container, `can not found container ${container}`);
    if (found.isRunning) await pod.stopContainer(found);
  }

  async killContainer(container: string, signal: number): Promise<void> {
    await this.#find(container, `can not find container ${container}`).container.signal(signal);
  }

  removeContainer(container: string): Promise<void> {
    const { pod, container: found } = this.#find(container, `cannot find container ${container}`);
    return pod.removeContainer(found);
  }

  renameContainer(container: string, name: string): void {
    const { container: found } = this.#find(
      container,
      `caonnot find pod contains container ${container} to rename`,
    );
    if (found.record.name === name) return;
    this.#requireFreeNames([name]);
    found.rename(name);
  }

  wait(container: string, signal: AbortSignal): Promise<number> {
    return this.#find(container, `cannot find container ${container}`).container.wait(signal);
  }

  async attach(container: string, client: ClientStreams): Promise<void> {
    await this.#find(container, `cannot find container ${container}`).container.attach(client);
  }

  logs(container: string, options: Parameters<PodService['logs']>[1]): ReturnType<PodService['logs']> {
    const { record } = this.#find(container, `cannot find container ${container}`).container;
    return this.#context.logs.read(record.podId, record.id, options);
  }

  createExec(
    container: string,
    options: { readonly command: readonly string[]; readonly tty: boolean },
  ): ExecId {
    const found = this.#find(container, `cannot find container ${container}`).container;
    return found.createExec(options.command, options.tty);
  }

  execHasTty(container: string, exec: string): boolean {
    return this.#find(container, `cannot find container ${container}`).container.exec(exec).tty;
  }

  async startExec(container: string, exec: string, client: ClientStreams): Promise<void> {
    const { pod, container: found } = this.#find(container, `cannot find container ${container}`);
    const target = found.exec(exec);
    if (!found.isRunning)
      throw new HyperError('precondition', `start exec: container "${found.record.name}" is not running`);
    const process = found.execProcess(target, pod.newProcessId());
    await target.run(pod.agent, found.record.id, process, client);
  }

  waitExec(container: string, exec: string, signal: AbortSignal): Promise<number> {
    return this.#find(container, `cannot find container ${container}`).container.exec(exec).wait(signal);
  }

  async execInMachine(pod: string, command: readonly string[], client: ClientStreams): Promise<number> {
    const target = this.#pod(pod, `The pod(${pod}) can not be found`);
    const exec = new Exec('exec-machine' as ExecId, command, false);
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
    const found = this.#find(container, `cannot find container ${container}`).container;
    const target = exec === undefined ? found : found.exec(exec);
    await target.resize(size.rows, size.columns);
  }

  async stats(pod: string): Promise<GuestStats> {
    const target = this.#pod(pod, `Can not get pod stats for unknown pod (${pod})`);
    if (target.record.state.phase !== 'running')
      throw new HyperError('precondition', `Can not get pod stats for non-running pod (${pod})`);
    return target.agent.stats();
  }

  async extract(container: string, directory: string, tar: AsyncIterable<Uint8Array>): Promise<void> {
    const { pod, container: found } = this.#find(container, `cannot find container ${container}`);
    await pod.files.extract(found, directory, tar);
  }

  async archive(
    container: string,
    path: string,
    take: (tar: AsyncIterable<Buffer>) => Promise<void>,
  ): Promise<void> {
    const { pod, container: found } = this.#find(container, `cannot find container ${container}`);
    await pod.files.archive(found, path, take);
  }

  containersOfImage(image: string): ContainerId[] {
    return this.#allContainers()
      .filter(({ container }) => container.record.imageId === image)
      .map(({ container }) => container.record.id);
  }

  /** Lets go of all pods; running ones go on without the daemon. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#pods.values()].map((pod) => pod.detach()));
  }

  async #containerRecord(spec: ContainerSpec, pod: PodSpec, position: number): Promise<ContainerRecord> {
    const image = await this.#context.images.resolve(spec.image);
    return {
      ...{ id: newContainerId(), podId: pod.id as PodId, position, name: spec.name, spec },
      imageId: image.id,
      run: runSpecOf(spec, image.run, pod.hostname),
      ...{ processId: undefined, logBase: { stdout: 0, stderr: 0 } },
      ...{ state: { phase: 'pending' } as const, createdAt: Date.now() },
    };
  }

  /** The files of new containers, by container. */
  async #fileTars(
    spec: PodSpec,
    containers: readonly ContainerRecord[],
  ): Promise<ReadonlyMap<ContainerId, Buffer>> {
    const tars = new Map<ContainerId, Buffer>();
    for (const container of containers) {
      const tar = await filesTar(spec, container.spec);
      if (tar) tars.set(container.id, tar);
    }
    return tars;
  }

  #requireFreeNames(names: readonly string[]): void {
    const seen = new Set<string>();
    for (const name of names) {
      const owner = this.#allContainers().find(({ container }) => container.record.name === name);
      if (owner)
        throw new HyperError('conflict', `container name ${name} has already taken by pod ${owner.pod.id}`);
      if (seen.has(name)) throw new HyperError('conflict', `container name ${name} is used twice in the pod`);
      seen.add(name);
    }
  }

  #pod(id: string, notFound: string): Pod {
    const pod = this.#pods.get(id);
    if (!pod) throw new HyperError('not-found', notFound);
    return pod;
  }

  #find(reference: string, notFound: string): { readonly pod: Pod; readonly container: Container } {
    const all = this.#allContainers();
    const exact = all.find(
      ({ container }) => container.record.name === reference || container.record.id === reference,
    );
    const byPrefix = exact
      ? [exact]
      : all.filter(({ container }) => container.record.id.startsWith(reference));
    const [only] = byPrefix;
    if (only && byPrefix.length === 1) return only;
    throw new HyperError('not-found', notFound);
  }

  #allContainers(): { readonly pod: Pod; readonly container: Container }[] {
    return [...this.#pods.values()].flatMap((pod) => pod.containers.map((container) => ({ pod, container })));
  }

  async #removeStrayDirectories(): Promise<void> {
    const directory = join(this.#context.root, 'pods');
    try {
      for (const name of await readdir(directory)) {
        if (!this.#pods.has(name)) await rm(join(directory, name), { recursive: true, force: true });
      }
    } catch (error) {
      this.#context.logger.debug({ err: messageOf(error) }, 'look for stray pod directories');
    }
  }
}

function matches(container: Container, reference: string): boolean {
  const { id, name } = container.record;
  return name === reference || id.startsWith(reference);
}

/** `debian` of `localhost:5000/debian:12`. */
function lastPart(image: string): string {
  return (image.split('/').at(-1) ?? image).replace(/[:@].*$/, '');
}
