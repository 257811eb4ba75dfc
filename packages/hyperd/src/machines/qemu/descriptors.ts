import { closeSync, openSync, readlinkSync, realpathSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HyperError, messageOf } from '../../errors.ts';

/** Those before are input, output and errors. */
const FIRST = 3;
/** A place, not what is in it: nothing can be read or listed by such a descriptor, only what permissions allow be opened below. */
export const O_PATH = 0o10_000_000;

/**
 * What a QEMU inherits as open descriptors, and goes by instead of paths: its user needs no way through the directories above, which may be closed to all but
 * the daemon. Disposing closes them here.
 */
export class Descriptors implements Disposable {
  readonly #opened: number[] = [];
  readonly #places = new Map<string, number>();
  readonly #all: number[] = [];

  /** Opens the machine's directory first: `placesOf` finds it again. Throws `machine` where something cannot be opened. */
  constructor(directory: string, readable: readonly string[]) {
    try {
      for (const path of [directory, ...readable]) this.#open(path);
    } catch (error) {
      this[Symbol.dispose]();
      throw new HyperError('machine', `open files for machine: ${messageOf(error)}`, { cause: error });
    }
  }

  /** In the order of their numbers, from 3 on. */
  get all(): readonly number[] {
    return this.#all;
  }

  /** Where the directories are. */
  get places(): Places {
    return new Places(this.#places);
  }

  /** The number that the file will have. Whoever has opened it closes it. */
  add({ fd }: FileHandle): number {
    return FIRST + this.#all.push(fd) - 1;
  }

  /** The number after all of them. */
  get next(): number {
    return FIRST + this.#all.length;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#opened.splice(0)) closeSync(fd);
  }

  #open(path: string): void {
    const fd = openSync(path, O_PATH);
    this.#opened.push(fd);
    this.#places.set(path, FIRST + this.#all.push(fd) - 1);
  }
}

/** The names that files have for a QEMU. */
export class Places {
  readonly #numbers: ReadonlyMap<string, number>;

  constructor(numbers: ReadonlyMap<string, number>) {
    this.#numbers = numbers;
  }

  /** Of a file that is one of them, or somewhere in one of them; others have the name that they have. */
  nameOf(path: string): string {
    for (let [place, rest] = [path, '']; ; ) {
      const number = this.#numbers.get(place);
      if (number !== undefined) return join(descriptorPath(number), rest);
      const parent = dirname(place);
      if (parent === place) return path;
      [place, rest] = [parent, join(basename(place), rest)];
    }
  }
}

/** How a process opens an inherited file again. */
export function descriptorPath(number: number): string {
  return `/proc/self/fd/${number}`;
}

/** The places of a QEMU that runs already; none for one of a daemon that gave it paths. */
export function placesOf(pid: number, directory: string, readable: readonly string[]): Places {
  const numbers = new Map([directory, ...readable].map((path, index) => [path, FIRST + index]));
  for (const [path, number] of numbers) if (targetOf(pid, number) !== realPath(path)) numbers.delete(path);
  return new Places(numbers);
}

function targetOf(pid: number, number: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${number}`);
  } catch {
    return undefined; // it has no such descriptor, or has ended
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // it is gone: nothing leads there
  }
}
