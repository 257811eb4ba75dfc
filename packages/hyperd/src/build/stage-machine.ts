import type { ImageLayer } from '../images/assembly/layer-sink.ts';
import type { RootfsLease } from '../images/image-service.ts';
import type { BuildMachine } from './build-machine.ts';
import type { BuildScope } from './build-scope.ts';

/** More layers over the base than this are put together to one disk. */
const MAX_OWN_DISKS = 6;

/** The machine of one stage: begun as soon as it is foreseen, there when it is needed, ended with the stage. */
export class StageMachine implements AsyncDisposable {
  readonly #scope: BuildScope;
  readonly #stage: number;
  #machine: BuildMachine | undefined;
  /** On its way. */
  #starting: Promise<BuildMachine> | undefined;

  constructor(scope: BuildScope, stage: number) {
    this.#scope = scope;
    this.#stage = stage;
  }

  /** A step will need it: it may start meanwhile. */
  expect(): void {
    if (this.#machine || this.#starting) return;
    this.#starting = this.#scope.startMachine(this.#stage);
    this.#starting.catch(() => undefined); // told when the machine is needed
  }

  /** The machine, its steps standing on these layers, of which the first `baseCount` are those of an image. */
  async ensure(layers: readonly ImageLayer[], baseCount: number): Promise<BuildMachine> {
    if (this.#machine?.isFull) await this[Symbol.asyncDispose]();
    if (this.#machine) return this.#machine;
    const leases = await this.#leases(layers, baseCount);
    let machine: BuildMachine;
    try {
      machine = await this.#start();
    } catch (error) {
      for (const lease of leases) lease[Symbol.dispose]();
      throw error;
    }
    this.#machine = machine;
    await machine.begin(leases);
    return machine;
  }

  /** Puts a layer that was made elsewhere on top, where there is a machine already. */
  async addLayer(layer: ImageLayer): Promise<void> {
    const { assembly, signal } = this.#scope;
    await this.#machine?.addLayer(await assembly.layerDisk(layer, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const starting = this.#starting;
    this.#starting = undefined;
    const machine = this.#machine ?? (await starting?.catch(() => undefined));
    this.#machine = undefined;
    await machine?.[Symbol.asyncDispose]();
  }

  /** The one that is on its way already, or a new one. */
  #start(): Promise<BuildMachine> {
    const starting = this.#starting ?? this.#scope.startMachine(this.#stage);
    this.#starting = undefined;
    return starting;
  }

  /** The disks of the machine: the base as it is, and a few layers on it each by itself, which is quicker than to put them together. */
  async #leases(layers: readonly ImageLayer[], baseCount: number): Promise<RootfsLease[]> {
    const { assembly, signal } = this.#scope;
    const own = layers.length - baseCount;
    const bottom = baseCount > 0 && own <= MAX_OWN_DISKS ? baseCount : layers.length;
    const leases: RootfsLease[] = [];
    try {
      leases.push(await assembly.rootfs(layers.slice(0, bottom), signal));
      for (const layer of layers.slice(bottom)) leases.push(await assembly.layerDisk(layer, signal));
      return leases;
    } catch (error) {
      for (const lease of leases) lease[Symbol.dispose]();
      throw error;
    }
  }
}
