import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { HyperError, messageOf } from '../../errors.ts';
import type { VmDriver, VmRequest } from '../driver.ts';
import type { HypervisorInfo } from '../machine.ts';
import { type Accelerator, MACHINE_VERSION, type Memory, qemuArguments } from './command-line.ts';
import { Descriptors, descriptorPath, placesOf } from './descriptors.ts';
import { chooseAccelerator } from './kvm-probe.ts';
import { copyMemory, openMemoryFile, recordExtents } from './memory-file.ts';
import { receiveFile } from './receive-file.ts';
import { QEMU_PROGRAM, type QemuVm, spawnQemu, takeControl } from './vm.ts';

const run = promisify(execFile);
const MIGRATION_TIMEOUT_MS = 60_000;
const MIB = 1024 ** 2;

export interface QemuOptions {
  readonly kernel: string;
  readonly initrd: string;
  /** Library that keeps guests from the host's loopback address: host/network-guard.c. */
  readonly networkGuard: string;
  /** Lets guests reach the host's loopback address, as 10.0.2.2. */
  readonly hostLoopback?: boolean;
  /** The program that takes the host out of a machine's reach: host/confine.c. */
  readonly confine: string;
  /** The program that hands a machine files which it cannot open itself: host/pass-file.c. */
  readonly passFile: string;
  /** Directories that machines may read: where images are. */
  readonly readable: readonly string[];
  /** Where the daemon keeps what is its own: disk images in it are given to the machines' users. */
  readonly own?: string;
  /** A copy of the host's resolv.conf, alone in its directory. */
  readonly resolvConf: string;
}

interface Launch {
  readonly descriptors: Descriptors;
  readonly memory: Memory;
  /** Files that it may read besides. */
  readonly read?: readonly string[];
  /** Descriptors whose files it opens again, to write. */
  readonly writable?: readonly number[];
}

/** QEMU on this host: KVM where /dev/kvm can be opened, else TCG. */
export function createQemuDriver(options: QemuOptions): VmDriver {
  const { kernel, initrd, networkGuard, hostLoopback = false, confine, own, resolvConf } = options;
  const common = { own, passProgram: options.passFile };
  const readable = [...options.readable, dirname(resolvConf), kernel, initrd];
  let known: Promise<HypervisorInfo & { accelerator: Accelerator }> | undefined;
  const info = () => {
    known ??= inspectHost();
    return known;
  };

  async function launch(
    request: VmRequest,
    { descriptors, memory, read = [], writable = [] }: Launch,
  ): Promise<QemuVm> {
    const { accelerator } = await info();
    const { directory, hardware, tap, user, diskImages = [] } = request;
    const { places } = descriptors;
    const foreign = user ? [] : diskImages; // else they are passed open
    const card = tap === undefined ? undefined : { name: tap, descriptor: descriptors.next };
    if (user) await chown(directory, user.uid, user.uid);
    const args = qemuArguments({
      ...{ accelerator, hardware, memory, name: directory, directory: places.nameOf(directory) },
      ...{ kernel: places.nameOf(kernel), initrd: places.nameOf(initrd), tap: card?.descriptor },
    });
    return spawnQemu(request, {
      ...{ args, confine, inherited: descriptors.all, files: { ...common, directory, places, user } },
      guard: {
        ...{ path: networkGuard, hostLoopback, resolvConf: places.nameOf(resolvConf) },
        template: memory.kind === 'clone' ? memory.path : undefined,
      },
      reach: {
        ...{ read: [...readable, dirname(networkGuard), ...read], write: [directory, ...foreign] },
        ...{ descriptors: writable, tcp: tap === undefined, foreignFiles: foreign.length > 0 },
        ...{
          firstClosed: descriptors.next + (card ? 1 : 0),
          user,
          tap: card,
          pidFile: join(directory, 'qemu.pid'),
        },
      },
    });
  }

  /** A file for the machine's memory that file servers can map as well. */
  async function sharedMemory({ directory, hardware, sharedMemory, user }: VmRequest): Promise<FileHandle> {
    const file = await openMemoryFile(
      ...([directory, hardware.ramMib * MIB, (sharedMemory?.elsewhereMib ?? 0) * MIB] as const),
    );
    if (user) await file.chown(user.uid, user.uid);
    return file;
  }

  /** With the template's memory as its own: copy on write, or, where it is to be shared, as a copy. Its state comes from the descriptor `state`. */
  async function launchClone(request: VmRequest, template: string): Promise<{ vm: QemuVm; state: number }> {
    using descriptors = new Descriptors(request.directory, readable);
    await using stateFile = await open(join(template, 'state'), 'r');
    const state = descriptors.add(stateFile);
    if (!request.sharedMemory) {
      await using file = await open(join(template, 'memory'), 'r');
      const path = descriptorPath(descriptors.add(file));
      const read = [join(template, 'memory')];
      return { vm: await launch(request, { descriptors, memory: { kind: 'clone', path }, read }), state };
    }
    await using file = await sharedMemory(request);
    const number = descriptors.add(file);
    const memory = { kind: 'shared-clone', path: descriptorPath(number) } as const;
    const launched = launch(request, { descriptors, memory, writable: [number] });
    const [vm, copied] = await Promise.allSettled([launched, copyMemory(template, file)]);
    if (vm.status === 'rejected') throw vm.reason;
    if (copied.status === 'fulfilled') return { vm: vm.value, state };
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
      using descriptors = new Descriptors(request.directory, readable);
      if (!request.sharedMemory) return await launch(request, { descriptors, memory: { kind: 'anonymous' } });
      await using file = await sharedMemory(request);
      const number = descriptors.add(file);
      const memory = { kind: 'shared-boot', path: descriptorPath(number) } as const;
      return await launch(request, { descriptors, memory, writable: [number] });
    },
    async bootForTemplate(request, template) {
      using descriptors = new Descriptors(request.directory, readable);
      const path = descriptors.places.nameOf(join(template, 'memory'));
      return await launch(request, { descriptors, memory: { kind: 'template', path } });
    },
    async saveTemplate(vm, template) {
      const { qmp, files } = vm as QemuVm;
      await qmp.execute('stop');
      await prepareMigration(qmp);
      // QEMU's sandbox allows no helper program, so the state comes out of a socket.
      await using receiver = await receiveFile(join(template, 'state.sock'), join(template, 'state'));
      if (files.user) await chown(receiver.socketPath, files.user.uid, files.user.uid);
      const moved = migrationEnd(qmp);
      const uri = `unix:${files.places.nameOf(receiver.socketPath)}`;
      await Promise.all([moved, qmp.execute('migrate', { uri })]);
      await receiver.received;
      await vm.kill();
      // Other users' machines read it, by a descriptor of the daemon's: the directory stays closed to them.
      await chmod(join(template, 'memory'), 0o644);
      await recordExtents(template);
    },
    async restore(request, template) {
      const { vm, state } = await launchClone(request, template);
      try {
        await prepareMigration(vm.qmp);
        await Promise.all([migrationEnd(vm.qmp), vm.qmp.execute('migrate-incoming', { uri: `fd:${state}` })]);
        await vm.qmp.execute('cont');
        return vm;
      } catch (error) {
        await vm.kill();
        throw error;
      }
    },
    adopt: (process, directory, user) =>
      takeControl(process, {
        ...{ ...common, directory, user, places: placesOf(process.pid, directory, readable) },
      }),
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
