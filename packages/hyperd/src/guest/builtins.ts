import { HyperError, isHyperError } from '../errors.ts';
import type { GuestProcess, OutputSink, OutputStream, ProcessSpec } from './agent.ts';
import { guestText } from './guest-text.ts';

const MAX_SAID_BYTES = 1024;
const SAID_GRACE_MS = 5_000;
const SIGTERM = 15;
const SIGKILL = 9;
/** Where the agent has the disks, in its own file system: the sources of binds lie below. */
export const GUEST_DISKS = '/run/hyper/disks';
/** Where the agent mounts something in every container. */
export const MOUNT_STUBS: readonly string[] = [
  '/proc',
  '/sys',
  '/dev',
  '/etc/hosts',
  '/etc/hostname',
  '/etc/resolv.conf',
  '/etc/machine-id',
];

/** A built-in process. `release` once it has ended: the guest forgets it. */
export interface BuiltinRun {
  readonly process: GuestProcess;
  release(): Promise<void>;
}

/** Starts a built-in process in a container, whether that runs or not. */
export type StartBuiltin = (
  process: Pick<ProcessSpec, 'args' | 'builtin'>,
  sink: OutputSink,
) => Promise<BuiltinRun>;

/** Unpacks a tar below a directory of the container. Rejects `invalid-argument` with what the guest says of it. */
export async function extractTar(
  start: StartBuiltin,
  directory: string,
  tar: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const output = new BuiltinOutput();
  const run = await start({ args: [directory], builtin: 'extract' }, output);
  await ending(run, async () => {
    const { process } = run;
    const fed = feed(process, tar);
    fed.catch(() => undefined); // a guest that has ended says why by itself
    const { exitCode } = await process.exited;
    if (exitCode !== 0) throw await output.failure(`unpack files below "${directory}"`);
    await fed;
  });
}

async function feed(
  process: GuestProcess,
  tar: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  try {
    for await (const chunk of tar) await process.writeStdin(chunk);
  } finally {
    process.endStdin();
  }
}

/** Packs a file or directory of the container as a tar. Rejects `not-found` where the guest cannot read it. */
export function archiveTar(start: StartBuiltin, path: string): AsyncGenerator<Buffer> {
  return outputOf(start, { args: [path], builtin: 'archive' }, `pack "${path}"`);
}

/**
 * Deletes what containers have changed that are not among `kept`, from a scratch disk. `start` starts the process outside of all containers. Rejects `internal`
 * with what the guest says of it.
 */
export async function pruneChanges(
  start: StartBuiltin,
  scratchDisk: string,
  kept: readonly string[],
): Promise<void> {
  const output = new BuiltinOutput();
  const run = await start({ args: [scratchDisk, ...kept], builtin: 'prune' }, output);
  await ending(run, async () => {
    const { exitCode } = await run.process.exited;
    if (exitCode !== 0) throw await output.failure('delete what removed containers have changed', 'internal');
  });
}

/** What a container has changed, for `layerTar`. A layer is a rootfs disk, or `SCRATCH/ID`: what the container of that id has changed. */
export interface ChangedLayer {
  readonly upper: string;
  /** What it lies on, the topmost first. */
  readonly lowers: readonly string[];
  /** Places that were made for mounts: left out where they are new and empty. */
  readonly stubs: readonly string[];
  /** Those that are left out are deleted, too; nothing may have the layer mounted. */
  readonly tidy?: boolean;
  /** A container that stands still meanwhile. */
  readonly freeze?: string;
}

/** Packs what a container has changed as the tar of an OCI layer. `start` starts the process outside of all containers. */
export function layerTar(
  start: StartBuiltin,
  { upper, lowers, stubs, tidy, freeze }: ChangedLayer,
): AsyncGenerator<Buffer> {
  const args = [
    `upper=${upper}`,
    ...lowers.map((lower) => `lower=${lower}`),
    ...stubs.map((stub) => `stub=${stub}`),
    ...(tidy ? ['tidy=yes'] : []),
    ...(freeze === undefined ? [] : [`freeze=${freeze}`]),
  ];
  return outputOf(start, { args, builtin: 'layer' }, 'pack what the container has changed');
}

async function* outputOf(
  start: StartBuiltin,
  builtin: Parameters<StartBuiltin>[0],
  what: string,
): AsyncGenerator<Buffer> {
  const output = new BuiltinOutput();
  const { process, release } = await start(builtin, output);
  process.exited.catch((error: unknown) => output.fail(error)); // the machine is gone: nothing more comes
  let hasEnded = false;
  try {
    for (let next = await output.next(); next; next = await output.next()) {
      yield next.chunk;
      process.acknowledge('stdout', next.endOffset);
    }
    const { exitCode } = await process.exited;
    hasEnded = true;
    if (exitCode !== 0) throw await output.failure(what, 'not-found');
  } finally {
    // One that has frozen a container lets it go on first; the init of a container hears of nothing but SIGKILL.
    if (!hasEnded && !output.isLost) {
      await kill(process, builtin.builtin === 'layer' ? SIGTERM : SIGKILL);
      await process.exited;
    }
    if (!output.isLost) await release();
  }
}

/** Runs `work`; whatever comes of it, the process has ended and is forgotten afterwards. */
async function ending({ process, release }: BuiltinRun, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await kill(process, SIGKILL);
    throw error;
  } finally {
    await process.exited;
    await release();
  }
}

/** It may have ended meanwhile. */
async function kill(process: GuestProcess, signal: number): Promise<void> {
  try {
    await process.signal(signal);
  } catch (error) {
    if (!isHyperError(error, 'not-found')) throw error;
  }
}

/** What a built-in process says: its output in pieces, and the beginning of what is wrong. */
class BuiltinOutput implements OutputSink {
  readonly #pieces: { readonly chunk: Buffer; readonly endOffset: number }[] = [];
  #said = Buffer.alloc(0);
  #hasEnded = false;
  #failure: { readonly error: unknown } | undefined;
  readonly #hasSaid = Promise.withResolvers<void>();
  #arrived = Promise.withResolvers<void>();

  data(stream: OutputStream, chunk: Uint8Array, endOffset: number): void {
    const copy = Buffer.from(chunk);
    if (stream === 'stderr') this.#said = Buffer.concat([this.#said, copy]).subarray(0, MAX_SAID_BYTES);
    else this.#pieces.push({ chunk: copy, endOffset });
    this.#wake();
  }

  end(stream: OutputStream): void {
    if (stream === 'stdout') this.#hasEnded = true;
    else this.#hasSaid.resolve();
    this.#wake();
  }

  get isLost(): boolean {
    return this.#failure !== undefined;
  }

  /** Nothing more comes, and why. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#hasSaid.resolve();
    this.#wake();
  }

  /** The next piece of stdout; undefined at its end. Throws what the process was lost for. */
  async next(): Promise<{ readonly chunk: Buffer; readonly endOffset: number } | undefined> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece || this.#hasEnded) return piece;
      if (this.#failure) throw this.#failure.error;
      await this.#arrived.promise;
    }
  }

  /** What the process has said may come behind the news of its end. */
  async failure(
    action: string,
    code: 'invalid-argument' | 'not-found' | 'internal' = 'invalid-argument',
  ): Promise<HyperError> {
    const timer = setTimeout(this.#hasSaid.resolve, SAID_GRACE_MS);
    await this.#hasSaid.promise;
    clearTimeout(timer);
    return new HyperError(
      code,
      `${action}: ${guestText(this.#said.toString()) || 'the guest gave no reason'}`,
    );
  }

  #wake(): void {
    this.#arrived.resolve();
    this.#arrived = Promise.withResolvers();
  }
}
