import { rm } from 'node:fs/promises';
import { HyperError } from '../errors.ts';
import { type ContainerId, newContainerId, type PodId } from '../ids.ts';
import { Pod } from './pod.ts';
import type { PodContext } from './pod-context.ts';
import { attachmentRequestsOf } from './pod-network.ts';
import type { ContainerRecord, PodRecord } from './pod-records.ts';
import type { PodRegistry } from './pod-registry.ts';
import { runSpecOf } from './run-spec.ts';
import type { ContainerSpec, PodSpec } from './spec/pod-spec.ts';
import { filesTar } from './spec-files.ts';

/** Bound on what is recorded, running or not. */
const MAX_PODS = 65_536;

/** Where a specification gives a machine's size. */
const SHAPE_PLACE = { vcpus: 'resource.vcpu', memory: 'resource.memory' };

/** Makes pods and containers of specifications: images are found, files gathered, and only what is whole gets a record. */
export class PodCreation {
  readonly #context: PodContext;
  readonly #registry: PodRegistry;

  constructor(context: PodContext, registry: PodRegistry) {
    this.#context = context;
    this.#registry = registry;
  }

  /** A pending pod. Nothing is left of one that cannot be made. */
  async pod(spec: PodSpec): Promise<Pod> {
    this.#context.machines.checkShape(spec.resource, SHAPE_PLACE);
    const id = spec.id as PodId;
    if (this.#registry.size >= MAX_PODS)
      throw new HyperError('limit', `create pod "${id}": there are ${MAX_PODS} pods, remove some`);
    const named = spec.containers.map((container, index) => ({
      ...{ ...container, name: container.name || `${id}-${lastPart(container.image)}-${index}` },
    }));
    using _id = this.#registry.holdId(id);
    using _names = this.#registry.holdNames(named.map(({ name }) => name));
    const containers: ContainerRecord[] = [];
    for (const [index, container] of named.entries())
      containers.push(await this.#containerRecord(container, spec, index));
    const record: PodRecord = {
      ...{ id, spec, state: { phase: 'pending' }, machineId: undefined, createdAt: Date.now() },
    };
    const tars = await this.#fileTars(spec, containers);
    const pod = new Pod(record, containers, this.#context);
    const { networks } = this.#context;
    const places = attachmentRequestsOf(spec, networks);
    try {
      await pod.checkPorts();
      await pod.checkVolumes();
      for (const place of places) await networks.reserve(place);
      for (const [container, tar] of tars) await pod.files.keep(container, tar);
      this.#context.records.insert(record, containers);
    } catch (error) {
      await networks.releaseAll(id);
      await rm(pod.directory, { recursive: true, force: true });
      throw error;
    }
    this.#registry.add(pod);
    this.#context.events.pod(record, 'create');
    for (const container of containers) this.#context.events.container(container, 'create');
    return pod;
  }

  /** A pending container of a pod. Nothing is left of one that cannot be made. */
  async container(pod: Pod, spec: ContainerSpec): Promise<ContainerId> {
    const name = spec.name || `${pod.id}-${lastPart(spec.image)}-${newContainerId().slice(0, 10)}`;
    using _names = this.#registry.holdNames([name]);
    const position = Math.max(-1, ...pod.containers.map((c) => c.record.position)) + 1;
    const record = await this.#containerRecord({ ...spec, name }, pod.record.spec, position);
    await pod.checkVolumes([record]);
    const tars = await this.#fileTars({ ...pod.record.spec, containers: [record.spec] }, [record]);
    try {
      for (const [container, tar] of tars) await pod.files.keep(container, tar);
      await this.#add(pod, record);
    } catch (error) {
      await pod.files.forget(record.id);
      throw error;
    }
    return record.id;
  }

  async #add(pod: Pod, record: ContainerRecord): Promise<void> {
    const container = pod.addContainer(record);
    const { portMappings } = record.spec;
    if (portMappings.length === 0) return;
    try {
      await pod.connections.addPorts(portMappings, { whenStopped: true });
    } catch (error) {
      await pod.removeContainer(container);
      throw error;
    }
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
}

/** `debian` of `localhost:5000/debian:12`. */
function lastPart(image: string): string {
  return (image.split('/').at(-1) ?? image).replace(/[:@].*$/, '');
}
