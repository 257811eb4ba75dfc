import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import {
  type ChangedLayer,
  type ExitStatus,
  extractTar,
  GUEST_DISKS,
  type GuestBind,
  type GuestConnection,
  type GuestProcess,
  type GuestSocketPlace,
  type InjectedFile,
  layerTar,
  MOUNT_STUBS,
  type OutputStream,
  openGuestSocket,
  type StartBuiltin,
} from '../guest/index.ts';
import type { PodId } from '../ids.ts';
import type { RootfsLease } from '../images/image-service.ts';
import type { Machine, MachineService, MachineShape } from '../machines/machine.ts';
import type { ScratchDisks } from '../machines/scratch-disk.ts';
import { USER_MODE_DNS } from '../networks/user-mode.ts';
import { TAR_END, tarHeader, tarPadding } from '../tar/tar-writer.ts';

const BASE = 'base';
const SCRATCH = 'scratch';
/** Of a file that lies by itself in a directory. */
const FILE = 'file';
const HOSTNAME = 'buildhost';
/** More layers than this are put together to one file system first. */
const MAX_STACK = 100;
const OUTPUT_GRACE_MS = 30_000;
/** How long SIGKILL may take, in ms. */
const KILL_GRACE_MS = 10_000;

export interface MachineParts {
  readonly machines: MachineService;
  readonly scratch: ScratchDisks;
  /** Of the build: told to the machine service, so that a daemon that dies leaves no machine. */
  readonly owner: PodId;
  /** For its writable disk. */
  readonly scratchPath: string;
  readonly shape: MachineShape;
}

export interface StepProcess {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly files: readonly InjectedFile[];
  readonly binds: readonly GuestBind[];
  readonly noNetwork: boolean;
  readonly timeoutMs: number;
  /** Resolves when more may come: a program waits for its reader. */
  readonly onOutput: (stream: OutputStream, chunk: Buffer) => Promise<void>;
}

/** A step that has run: what it has changed can be taken out, once. */
export interface FinishedStep {
  readonly exit: ExitStatus;
  readonly isTimedOut: boolean;
  /** The tar of its layer. */
  changes(): AsyncGenerator<Buffer>;
}

/**
 * The machine of one stage: steps run in it one after the other, each over what the ones before have changed. Made by `acquire`, put on its feet by `begin`;
 * whoever made it disposes of it, which ends it.
 */
export class BuildMachine implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #leases: RootfsLease[] = [];
  readonly #scratchPath: string;
  readonly #onEnd: () => void;
  readonly #signal: AbortSignal;
  /** Ends it at once: whatever waits for it is told. */
  readonly #stop = (): void => void this.#machine.stop({ graceMs: 0 });
  /** What lies over the base, the topmost first. */
  readonly #stack: string[] = [];
  #lastProcess = 0;
  #lastDisk = 0;
  #lastSocket = 0;

  private constructor(machine: Machine, scratchPath: string, signal: AbortSignal, onEnd: () => void) {
    this.#machine = machine;
    this.#signal = signal;
    signal.addEventListener('abort', this.#stop, { once: true });
    if (signal.aborted) this.#stop();
    this.#scratchPath = scratchPath;
    this.#onEnd = onEnd;
  }

  /** A machine with an empty disk, before it is known what its steps stand on. `onEnd` is called once, when it is gone. */
  static async acquire(parts: MachineParts, signal: AbortSignal, onEnd: () => void): Promise<BuildMachine> {
    const { machines, scratch, owner, shape, scratchPath } = parts;
    const identity = { hostname: HOSTNAME, machineId: randomBytes(16).toString('hex') };
    const [machine, disk] = await Promise.allSettled([
      machines.acquire({ shape, owner, identity, signal }),
      scratch.ensure(scratchPath),
    ]);
    if (machine.status === 'rejected') throw machine.reason;
    const made = new BuildMachine(machine.value, scratchPath, signal, onEnd);
    try {
      if (disk.status === 'rejected') throw disk.reason;
      await machine.value.attachDisk(
        { path: scratchPath, format: 'raw', readOnly: false },
        { use: 'scratch', name: SCRATCH },
      );
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What the steps stand on, bottom first. Once, before the first step; takes the leases over. */
  async begin(leases: readonly RootfsLease[]): Promise<void> {
    this.#leases.push(...leases);
    const names = leases.map((_, index) => (index === 0 ? BASE : `d${++this.#lastDisk}`));
    this.#stack.push(...names.slice(1).reverse());
    await Promise.all(leases.map((lease, index) => this.#plug(lease, names[index] ?? BASE)));
  }

  /** Whether a new machine with the layers as its base is the better one. */
  get isFull(): boolean {
    return this.#stack.length >= MAX_STACK;
  }

  /** Puts a layer that was made elsewhere on top. Takes the lease over. */
  async addLayer(lease: RootfsLease): Promise<void> {
    this.#stack.unshift(await this.addDisk(lease));
  }

  /** Plugs a disk that steps may mount parts of; resolves with its name. Takes the lease over. */
  async addDisk(lease: RootfsLease): Promise<string> {
    this.#leases.push(lease);
    const name = `d${++this.#lastDisk}`;
    await this.#plug(lease, name);
    return name;
  }

  /** Plugs a writable disk of the host. */
  async addCacheDisk(path: string): Promise<string> {
    const name = `c${++this.#lastDisk}`;
    await this.#machine.attachDisk({ path, format: 'raw', readOnly: false }, { use: 'scratch', name });
    return name;
  }

  /** Unpacks a tar on a writable disk. */
  unpack(disk: string, tar: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    return extractTar(this.#builtin, `${GUEST_DISKS}/${disk}`, tar);
  }

  /** Takes a disk out again, so that another machine may have it. */
  async removeDisk(name: string): Promise<void> {
    await this.#machine.detachDisk(name);
  }

  /** A file in the machine's memory for a step to bind, of any length. Disposing empties it. */
  async addFile(file: Omit<InjectedFile, 'path'>): Promise<{ readonly source: string } & AsyncDisposable> {
    const name = `f${++this.#lastDisk}`;
    const write = (content: Uint8Array): Promise<void> => this.unpack(name, tarOf({ ...file, content }));
    await write(file.content);
    return { source: `${name}/${FILE}`, [Symbol.asyncDispose]: () => write(new Uint8Array()) };
  }

  /** A unix socket for steps to bind, whose connections `serve` gets. Disposing ends it. */
  async openSocket(
    owner: Omit<GuestSocketPlace, 'source'>,
    serve: (connection: GuestConnection) => Promise<void>,
  ): Promise<{ readonly source: string } & AsyncDisposable> {
    const source = `${SCRATCH}/socket-${++this.#lastSocket}`;
    const socket = await openGuestSocket(this.#builtin, { ...owner, source }, serve);
    return { source, [Symbol.asyncDispose]: () => socket[Symbol.asyncDispose]() };
  }

  /** Runs a step to its end. Rejects `machine`, also where the build is aborted; a step that fails resolves. */
  async run(step: StepProcess): Promise<FinishedStep> {
    const { agent } = this.#machine;
    const id = `s${++this.#lastProcess}`;
    const output = new StepOutput(step.onOutput);
    const process = await agent.startContainer(
      {
        ...{ containerId: id, rootfsDisk: BASE, scratchDisk: SCRATCH, layers: this.#stack },
        ...{ readOnlyRootfs: false, sysctls: {}, binds: step.binds, noNetwork: step.noNetwork },
        files: [...hostFiles(), ...step.files],
        process: {
          ...{ id: this.#lastProcess, args: step.args, env: step.env, cwd: step.cwd, user: step.user },
          ...{ additionalGroups: [], rlimits: [], tty: false, rows: 0, columns: 0, noStdin: true },
        },
      },
      output,
    );
    output.bind(process);
    const { exit, isTimedOut } = await this.#end(process, step.timeoutMs);
    await output.ended();
    await process.release();
    await agent.removeContainer(id, { deleteUpper: false });
    const lowers = [...this.#stack, BASE];
    const upper = `${SCRATCH}/${id}`;
    this.#stack.unshift(upper);
    const stubs = [
      ...MOUNT_STUBS,
      ...step.binds.map(({ target }) => target),
      ...step.files.map(({ path }) => path),
    ];
    return {
      exit,
      isTimedOut,
      changes: () => this.#changes({ upper, lowers, stubs, tidy: true }, step.timeoutMs),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#stop);
    await this.#machine.stop({ graceMs: 0 });
    for (const lease of this.#leases.splice(0)) lease[Symbol.dispose]();
    await rm(this.#scratchPath, { force: true });
    this.#onEnd();
  }

  /** The step's end, by itself or by the time. A guest that does not end it loses its machine. */
  async #end(
    process: GuestProcess,
    timeoutMs: number,
  ): Promise<{ readonly exit: ExitStatus; readonly isTimedOut: boolean }> {
    let isTimedOut = false;
    let givingUp: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => {
      isTimedOut = true;
      process.signal(9).catch(() => undefined); // it has just ended
      givingUp = setTimeout(this.#stop, KILL_GRACE_MS);
    }, timeoutMs);
    try {
      return { exit: await process.exited, isTimedOut };
    } finally {
      clearTimeout(timer);
      clearTimeout(givingUp);
    }
  }

  /** A guest that does not get on with packing loses its machine, too. */
  async *#changes(layer: ChangedLayer, timeoutMs: number): AsyncGenerator<Buffer> {
    const timer = setTimeout(this.#stop, timeoutMs);
    try {
      yield* layerTar(this.#builtin, layer);
    } finally {
      clearTimeout(timer);
    }
  }

  readonly #builtin: StartBuiltin = async (builtin, sink) => {
    const process = await this.#machine.agent.startProcess(
      '',
      {
        ...{ ...builtin, id: ++this.#lastProcess, env: [], cwd: '/', user: '0:0', additionalGroups: [] },
        ...{ rlimits: [], tty: false, rows: 0, columns: 0, noStdin: builtin.builtin === 'layer' },
      },
      sink,
    );
    return { process, release: () => process.release() };
  };

  #plug({ path, format }: RootfsLease, name: string): Promise<void> {
    return this.#machine.attachDisk({ path, format, readOnly: true }, { use: 'rootfs', name });
  }
}

/** What a step writes, handed on piece by piece: the next is acknowledged only when the one before was taken. */
class StepOutput {
  readonly #take: StepProcess['onOutput'];
  readonly #bound = Promise.withResolvers<GuestProcess>();
  readonly #open = new Set<OutputStream>(['stdout', 'stderr']);
  readonly #closed = Promise.withResolvers<void>();
  #tail: Promise<void> = Promise.resolve();

  constructor(take: StepProcess['onOutput']) {
    this.#take = take;
  }

  bind(process: GuestProcess): void {
    this.#bound.resolve(process);
  }

  data(stream: OutputStream, chunk: Uint8Array, endOffset: number): void {
    const copy = Buffer.from(chunk);
    this.#tail = this.#tail.then(async () => {
      await this.#take(stream, copy);
      (await this.#bound.promise).acknowledge(stream, endOffset);
    });
    this.#tail.catch(() => undefined); // told by `ended`
  }

  end(stream: OutputStream): void {
    this.#open.delete(stream);
    if (this.#open.size === 0) this.#closed.resolve();
  }

  /** Everything has come and was taken; a guest that never says so is not waited for longer than the grace. */
  async ended(): Promise<void> {
    const timer = setTimeout(this.#closed.resolve, OUTPUT_GRACE_MS);
    await this.#closed.promise;
    clearTimeout(timer);
    await this.#tail;
  }
}

function* tarOf({ content, mode, uid, gid }: Omit<InjectedFile, 'path'>): Generator<Buffer> {
  yield tarHeader({
    ...{ name: FILE, type: 'file', mode, uid, gid, sizeBytes: content.length, mtime: 0, linkName: '' },
    ...{ deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
  });
  yield Buffer.from(content);
  yield tarPadding(content.length);
  yield TAR_END;
}

function hostFiles(): InjectedFile[] {
  const file = (path: string, text: string): InjectedFile => ({
    path,
    content: Buffer.from(text),
    mode: 0o644,
    uid: 0,
    gid: 0,
  });
  return [
    file('/etc/hosts', `127.0.0.1\tlocalhost ${HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n`),
    file('/etc/hostname', `${HOSTNAME}\n`),
    file('/etc/resolv.conf', `nameserver ${USER_MODE_DNS}\n`),
  ];
}
