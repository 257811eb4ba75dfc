// The floor: what QEMU, the guest's kernel and agent take by themselves, driven without hyperd. What hyperd takes beyond that is its own share.
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connectAgent, type GuestAgent } from '../packages/hyperd/src/guest/index.ts';
import type { Vm, VmDriver, VmHardware } from '../packages/hyperd/src/machines/driver.ts';
import { createQemuDriver } from '../packages/hyperd/src/machines/qemu/driver.ts';
import { rehearse } from '../packages/hyperd/src/machines/rehearsal.ts';
import { createScratchDisks } from '../packages/hyperd/src/machines/scratch-disk.ts';
import { createTemplates, type Templates } from '../packages/hyperd/src/machines/templates.ts';
import { userModeNetwork } from '../packages/hyperd/src/networks/user-mode.ts';

/** That of a pod of 128 MiB. */
const HARDWARE: VmHardware = { vcpus: 1, ramMib: 224 };
const BOOT_TIMEOUT_MS = 120_000;
const CLONE_TIMEOUT_MS = 30_000;
const quiet = () => undefined;
const SILENT = { debug: quiet, info: quiet, warn: quiet, error: quiet };

export interface FloorOptions {
  /** Empty; for templates, machines and disks. */
  readonly directory: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly networkGuard: string;
  readonly confine: string;
  readonly passFile: string;
  readonly readable: readonly string[];
  readonly resolvConf: string;
  /** Root file system of a tiny image: templates are rehearsed with it, as the daemon's are. */
  readonly rehearsalDisk: string;
  /** Root file system of the image, a VMDK. */
  readonly rootfs: string;
  /** What a process has had of the processor so far. */
  readonly cpuSeconds: (pid: number) => number;
}

/** When a machine had got how far, in ms from its start; and how much of the host's processor it had had by then. */
export interface FloorTimes {
  readonly answered: number;
  readonly answeredCpu: number;
  /** Of the container's output. */
  readonly firstByte: number;
  readonly firstByteCpu: number;
}

interface Bare {
  readonly vm: Vm;
  readonly agent: GuestAgent;
  readonly directory: string;
}

/** Bare machines to measure. Made by whoever disposes of it; a machine ends before the call that has made it. */
export class Floor implements AsyncDisposable {
  readonly #options: FloorOptions;
  readonly #driver: VmDriver;
  readonly #templates: Templates;
  #warm: Bare | undefined;
  #lastProcess = 0;

  constructor(options: FloorOptions) {
    this.#options = options;
    this.#driver = createQemuDriver(options);
    const { rehearsalDisk } = options;
    const scratch = createScratchDisks(options.directory);
    this.#templates = createTemplates({
      ...{
        directory: join(options.directory, 'templates'),
        driver: this.#driver,
        connectAgent,
        logger: SILENT,
      },
      bootTimeoutMs: BOOT_TIMEOUT_MS,
      rehearse: (stage, directory) => rehearse(stage, directory, { rehearsalDisk, scratch }),
    });
  }

  /** A new clone of a template, with the image's disk and a writable one; `command` in it. */
  clone(command: readonly string[]): Promise<FloorTimes> {
    return this.#measure(command, async (directory) =>
      this.#driver.restore({ directory, hardware: HARDWARE }, await this.template()),
    );
  }

  /** The same from power-on. */
  boot(command: readonly string[]): Promise<FloorTimes> {
    return this.#measure(command, (directory) => this.#driver.boot({ directory, hardware: HARDWARE }));
  }

  /** A machine that is there, with its disks plugged, and has run the same before. Resolves with the ms to the first byte. */
  async warm(command: readonly string[]): Promise<number> {
    await this.warmMachine(command);
    const { agent } = this.#warm as Bare;
    const startedAt = performance.now();
    return (await this.#run(agent, command)) - startedAt;
  }

  /** That machine itself. */
  async warmMachine(command: readonly string[]): Promise<Vm> {
    if (!this.#warm) {
      this.#warm = await this.#open(async (directory) =>
        this.#driver.restore({ directory, hardware: HARDWARE }, await this.template()),
      );
      await this.#plug(this.#warm);
      await this.#run(this.#warm.agent, command);
    }
    return this.#warm.vm;
  }

  /** Directory of the template. */
  template(): Promise<string> {
    return this.#templates.get(HARDWARE, { ahead: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#warm) await end(this.#warm);
  }

  async #measure(command: readonly string[], make: (directory: string) => Promise<Vm>): Promise<FloorTimes> {
    await this.template(); // its making is not a start's
    const startedAt = performance.now();
    const bare = await this.#open(make);
    try {
      const answered = performance.now() - startedAt;
      const cpuMs = (): number => this.#options.cpuSeconds(bare.vm.process.pid) * 1000;
      const answeredCpu = cpuMs();
      await this.#plug(bare);
      const firstByte = (await this.#run(bare.agent, command)) - startedAt;
      return { answered, answeredCpu, firstByte, firstByteCpu: cpuMs() };
    } finally {
      await end(bare);
    }
  }

  async #open(make: (directory: string) => Promise<Vm>): Promise<Bare> {
    await mkdir(this.#options.directory, { recursive: true });
    const directory = await mkdtemp(join(this.#options.directory, 'm-'));
    const vm = await make(directory);
    try {
      const agent = await connectAgent(await vm.connectAgentPort(), { handshakeTimeoutMs: BOOT_TIMEOUT_MS });
      const machineId = randomBytes(16).toString('hex');
      await agent.configure({ hostname: 'floor', machineId, network: userModeNetwork() });
      return { vm, agent, directory };
    } catch (error) {
      await vm.kill();
      throw error;
    }
  }

  async #plug({ vm, agent, directory }: Bare): Promise<void> {
    const scratch = join(directory, 'scratch.img');
    await createScratchDisks(this.#options.directory).ensure(scratch);
    await Promise.all([
      vm
        .plugDisk(1, { path: this.#options.rootfs, format: 'vmdk', readOnly: true })
        .then(() => agent.attachDisk({ target: 1, use: 'rootfs', name: 'rootfs' })),
      vm
        .plugDisk(2, { path: scratch, format: 'raw', readOnly: false })
        .then(() => agent.attachDisk({ target: 2, use: 'scratch', name: 'scratch' })),
    ]);
  }

  /** Runs a container to its end; resolves with when its first byte came, or it ended, where it says nothing. */
  async #run(agent: GuestAgent, args: readonly string[]): Promise<number> {
    const id = ++this.#lastProcess;
    const containerId = `c${id}`;
    let firstByte: number | undefined;
    const process = await agent.startContainer(
      {
        ...{ containerId, rootfsDisk: 'rootfs', scratchDisk: 'scratch', readOnlyRootfs: false },
        ...{ files: [], sysctls: {} },
        process: {
          ...{ id, args, env: ['PATH=/usr/bin:/bin'], cwd: '/', user: '', additionalGroups: [], tty: false },
          ...{ rows: 24, columns: 80, noStdin: true, rlimits: [] },
        },
      },
      {
        data() {
          firstByte ??= performance.now();
        },
        end: quiet,
      },
    );
    const { exitCode } = await withTimeout(process.exited, CLONE_TIMEOUT_MS);
    const at = firstByte ?? performance.now();
    if (exitCode !== 0) throw new Error(`floor: "${args.join(' ')}" ended with ${exitCode}`);
    await process.release();
    await agent.removeContainer(containerId, { deleteUpper: true });
    return at;
  }
}

async function end({ vm, agent, directory }: Bare): Promise<void> {
  await agent[Symbol.asyncDispose]();
  await vm.kill();
  await rm(directory, { recursive: true, force: true });
}

async function withTimeout<T>(work: Promise<T>, ms: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`floor: no end within ${ms} ms`)), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
