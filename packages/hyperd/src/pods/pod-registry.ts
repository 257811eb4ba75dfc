import { HyperError } from '../errors.ts';
import type { PodId } from '../ids.ts';
import type { Container } from './container.ts';
import type { Pod } from './pod.ts';

export interface FoundContainer {
  readonly pod: Pod;
  readonly container: Container;
}

/**
 * The pods of the daemon and their containers, by id and name. Names of what is being made are held before it is there, those of what is
 * being removed until it is gone; what is being removed is found by nobody.
 */
export class PodRegistry {
  readonly #pods = new Map<string, Pod>();
  readonly #heldIds = new Set<string>();
  readonly #heldNames = new Set<string>();

  get size(): number {
    return this.#pods.size + this.#heldIds.size;
  }

  add(pod: Pod): void {
    this.#pods.set(pod.id, pod);
  }

  /** Repeatable; a later pod of the same id stays. */
  delete(pod: Pod): void {
    if (this.#pods.get(pod.id) === pod) this.#pods.delete(pod.id);
  }

  /** All of them, also those that are being removed. */
  all(): Pod[] {
    return [...this.#pods.values()];
  }

  /** Of an id that may be taken by one that is being removed, too. */
  has(id: string): boolean {
    return this.#pods.has(id) || this.#heldIds.has(id);
  }

  /** Takes a pod's id until disposed. Throws `conflict`. */
  holdId(id: PodId): Disposable {
    if (this.has(id)) throw new HyperError('conflict', `pod name ${id} has already in use`);
    this.#heldIds.add(id);
    return { [Symbol.dispose]: () => void this.#heldIds.delete(id) };
  }

  /** Takes names for containers until disposed. Throws `conflict`. */
  holdNames(names: readonly string[]): Disposable {
    const wanted = new Set<string>();
    for (const name of names) {
      if (wanted.has(name))
        throw new HyperError('conflict', `container name ${name} is used twice in the pod`);
      if (this.#heldNames.has(name))
        throw new HyperError('conflict', `container name ${name} is about to be taken by another container`);
      wanted.add(name);
    }
    for (const { pod, container } of this.#containers()) {
      const { name } = container.record;
      if (wanted.has(name))
        throw new HyperError('conflict', `container name ${name} has already taken by pod ${pod.id}`);
    }
    for (const name of wanted) this.#heldNames.add(name);
    return {
      [Symbol.dispose]: () => {
        for (const name of wanted) this.#heldNames.delete(name);
      },
    };
  }

  /** By exact id. Throws `not-found` with that text. */
  pod(id: string, notFound: string): Pod {
    const pod = this.#pods.get(id);
    if (!pod || pod.isBeingRemoved) throw new HyperError('not-found', notFound);
    return pod;
  }

  /** As `pod`, also one that is being removed. */
  anyPod(id: string, notFound: string): Pod {
    const pod = this.#pods.get(id);
    if (!pod) throw new HyperError('not-found', notFound);
    return pod;
  }

  /** By exact name or id, or an id's unique prefix. Throws `not-found` with that text. */
  find(reference: string, notFound: string): FoundContainer {
    let byPrefix: FoundContainer | undefined;
    let count = 0;
    for (const found of this.containers()) {
      const { id, name } = found.container.record;
      if (name === reference || id === reference) return found;
      if (!id.startsWith(reference)) continue;
      byPrefix = found;
      count++;
    }
    if (byPrefix && count === 1) return byPrefix;
    throw new HyperError('not-found', notFound);
  }

  /** The containers of all pods that are not being removed. */
  *containers(): Generator<FoundContainer> {
    for (const found of this.#containers()) if (!found.pod.isBeingRemoved) yield found;
  }

  *#containers(): Generator<FoundContainer> {
    for (const pod of this.#pods.values()) for (const container of pod.containers) yield { pod, container };
  }
}
