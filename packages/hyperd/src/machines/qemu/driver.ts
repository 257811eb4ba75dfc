import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { HyperError, messageOf } from '../../errors.ts';
import type { VmDriver, VmRequest } from '../driver.ts';
import type { HypervisorInfo } from '../machine.ts';
import { type Accelerator, MACHINE_VERSION, type Memory, qemuArguments } from './command-line.ts';
import { chooseAccelerator } from './kvm-probe.ts';
import { copyMemory, openMemoryFile, recordExtents } from './memory-file.ts';
import { receiveFile } from './receive-file.ts';
import { QEMU_PROGRAM, type QemuVm, spawnQemu, takeControl } from './vm.ts';

const run = promisify(execFile);
const MIGRATION_TIMEOUT_MS = 60_000;
const MIB = 1024 ** 2;
/** The descriptors before are input, output and errors. */
const FIRST_INHERITED = 3;

export interface QemuOptions {
  readonly kernel: string;
  readonly initrd: string;
  /** Library that keeps guests from the host's loopback address: host/network-guard.c. */
  readonly networkGuard: string;
  /** Lets guests reach the host's loopback address, as 10.0.2.2. */
  readonly hostLoopback?: boolean;
  /** The program that takes the host out of a machine's reach: host/confine.c. */
  readonly confine: string;
  /** Files and directories that machines may read: where images are. */
  readonly readable: readonly string[];
  /** A copy of the host's resolv.conf, alone in its directory. */
  readonly resolvConf: string;
}

/** QEMU on this host: KVM where /dev/kvm can be opened, else TCG. */
export function createQemuDriver(options: QemuOptions): VmDriver {
  const { kernel, initrd, networkGuard, hostLoopback = false, confine, readable, resolvConf } = options;
  let known: Promise<HypervisorInfo & { accelerator: Accelerator }> | undefined;
  const info = () => {
    known ??= inspectHost();
    return known;
  };

  async function launch(
    request: VmRequest,
    memory: Memory,
    inherited: readonly FileHandle[] = [],
  ): Promise<QemuVm> {
    const { accelerator } = await info();
    const { directory, hardware, tap, diskImages = [] } = request;
    const line = { accelerator, directory, hardware, tap, kernel, initrd, memory };
    const template = memory.kind === 'clone' ? memory.path : undefined;
    return spawnQemu(request, {
      ...{ args: qemuArguments(line), confine, inherited: inherited.map(({ fd }) => fd) },
      guard: { path: networkGuard, hostLoopback, template, resolvConf },
      reach: {
        read: [
          ...readable,
          kernel,
          initrd,
          dirname(networkGuard),
          dirname(resolvConf),
          ...[template ?? []].flat(),
        ],
        write: [directory, ...diskImages],
        descriptors: inherited.map((_, index) => FIRST_INHERITED + index),
        ...{ tcp: tap === undefined, foreignFiles: diskImages.length > 0 },
      },
    });
  }

  /** With the template's memory as its own: copy on write, or, where it is to be shared, as a copy. */
  async function launchClone(request: VmRequest, template: string): Promise<QemuVm> {
    await using state = await open(join(template, 'state'), 'r');
    if (!request.sharedMemory) {
      return await launch(request, { kind: 'clone', path: join(template, 'memory') }, [state]);
    }
    const { hardware, sharedMemory, directory } = request;
    await using memory = await openMemoryFile(
      ...([directory, hardware.ramMib * MIB, sharedMemory.elsewhereMib * MIB] as const),
    );
    const launched = launch(request, { kind: 'shared-clone', path: '/proc/self/fd/4' }, [state, memory]);
    const [vm, copied] = await Promise.allSettled([launched, copyMemory(template, memory)]);
    if (vm.status === 'rejected') throw vm.reason;
    if (copied.status === 'fulfilled') return vm.value;
    await vm.value.kill();
    throw copied.reason;
  }

  return {
    info,
    async templateKey() {
      const { version, accelerator } = await info();
      const hash = createHash('sha256').update(`${MACHINE_VERSION} ${version} ${accelerator}`);
      // A template is not synced to disk: one from before the host's last boot may have holes.
      hash.update(await readFile('/proc/sys/kernel/random/boot_id'));
      for (const path of [kernel, initrd]) {
        const { size, mtimeMs, ino } = await stat(path);
        hash.update(` ${path} ${size} ${mtimeMs} ${ino}`);
      }
      return hash.digest('hex').slice(0, 16);
    },
    async boot(request) {
      if (!request.sharedMemory) return launch(request, { kind: 'anonymous' });
      const { directory, hardware, sharedMemory } = request;
      await using memory = await openMemoryFile(
        ...([directory, hardware.ramMib * MIB, sharedMemory.elsewhereMib * MIB] as const),
      );
      return await launch(request, { kind: 'shared-boot', path: '/proc/self/fd/3' }, [memory]);
    },
    bootForTemplate: (request, template) =>
      launch(request, { kind: 'template', path: join(template, 'memory') }),
    async saveTemplate(vm, template) {
      const { qmp } = vm as QemuVm;
      await qmp.execute('stop');
      await prepareMigration(qmp);
      // QEMU's sandbox allows no helper program, so the state comes out of a socket.
      await using receiver = await receiveFile(join(template, 'state.sock'), join(template, 'state'));
      const moved = migrationEnd(qmp);
      await Promise.all([moved, qmp.execute('migrate', { uri: `unix:${receiver.socketPath}` })]);
      await receiver.received;
      await vm.kill();
      await recordExtents(template);
    },
    async restore(request, template) {
      const vm = await launchClone(request, template);
      try {
        await prepareMigration(vm.qmp);
        await Promise.all([migrationEnd(vm.qmp), vm.qmp.execute('migrate-incoming', { uri: 'fd:3' })]);
        await vm.qmp.execute('cont');
        return vm;
      } catch (error) {
        await vm.kill();
        throw error;
      }
    },
    adopt: (process, directory) => takeControl(process, directory),
  };
}

/** Memory that is shared with the template's file is not part of the state, and the end is told by an event. */
async function prepareMigration(qmp: QemuVm['qmp']): Promise<void> {
  await qmp.execute('migrate-set-capabilities', {
    capabilities: [
      { capability: 'x-ignore-shared', state: true },
      { capability: 'events', state: true },
    ],
  });
}

/** Resolves when the migration that is started next has ended well. */
async function migrationEnd(qmp: QemuVm['qmp']): Promise<void> {
  const { data } = await qmp.event(
    ({ event, data: { status } }) => event === 'MIGRATION' && (status === 'completed' || status === 'failed'),
    MIGRATION_TIMEOUT_MS,
  );
  if (data.status !== 'completed')
    throw new HyperError('machine', `move machine state: ${String(data.status)}`);
}

async function inspectHost(): Promise<HypervisorInfo & { accelerator: Accelerator }> {
  const version = await qemuVersion();
  const { accelerator, reason } = await chooseAccelerator(QEMU_PROGRAM);
  return { driver: 'qemu', version, accelerator, acceleratorReason: reason };
}

async function qemuVersion(): Promise<string> {
  try {
    const { stdout } = await run(QEMU_PROGRAM, ['--version'], { timeout: 10_000 });
    return /version (\S+)/.exec(stdout)?.[1] ?? 'unknown';
  } catch (error) {
    throw new HyperError('machine', `find QEMU: ${messageOf(error)}; install qemu-system-x86`, {
      cause: error,
    });
  }
}
