const MAX_KEPT = 1000;

/** What a tag names: a container, one of its execs, or a command in a machine (by its id in MachineExecs). */
export type Tagged =
  | { readonly container: string; readonly exec?: string }
  | { readonly machineExec: string };

/**
 * The names that clients below 0.6.2 give their sessions, to ask for an exit code or set a window's size by them later. The oldest go first.
 */
export class ClientTags {
  readonly #tagged = new Map<string, Tagged>();

  set(tag: string, tagged: Tagged): void {
    this.#tagged.delete(tag);
    this.#tagged.set(tag, tagged);
    if (this.#tagged.size > MAX_KEPT) this.#tagged.delete(this.#tagged.keys().next().value ?? '');
  }

  get(tag: string): Tagged | undefined {
    return this.#tagged.get(tag);
  }
}
