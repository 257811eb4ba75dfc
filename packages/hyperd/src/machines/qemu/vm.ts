import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { HyperError, messageOf } from '../../errors.ts';
import { guestText } from '../../guest/index.ts';
import type { HostPort, PortForward } from '../../networks/port-forward.ts';
import { endOf } from '../console-file.ts';
import type { Vm, VmRequest } from '../driver.ts';
import { gone, type HostProcess, isAlive, kill, startTicksOf } from '../host-process.ts';
import type { DiskImage, DiskUsage, MachineExit } from '../machine.ts';
import { cardPort, SHARE_PORTS, sharePort } from './command-line.ts';
import { confined, type Reach } from './confinement.ts';
import { DiskFiles } from './disk-files.ts';
import { diskUsageOf } from './disk-usage.ts';
import { blockdevOf, refuseOtherFiles, writeCacheOf } from './disks.ts';
import { guarded, type NetworkGuard, requireGuarded } from './network-guard.ts';
import { passFile } from './pass-file.ts';
import { addForwardCommand, parseForwards, removeForwardCommand } from './port-forwards.ts';
import { connectQmp, connectUnix, type Qmp } from './qmp.ts';
import { takesFiles, type VmFiles } from './vm-files.ts';

export const QEMU_PROGRAM = 'qemu-system-x86_64';
const QMP_TIMEOUT_MS = 30_000;
const DEATH_TIMEOUT_MS = 5_000;
const DISK_RETRY_MS = 1_000;
const TAIL_LINES = 20;
const TAIL_BYTES = 4096;

/** A QEMU process under control. */
export class QemuVm implements Vm {
  readonly process: HostProcess;
  readonly exited: Promise<MachineExit>;
  readonly qmp: Qmp;
  readonly #directory: string;
  readonly files: VmFiles;
  readonly #disks: DiskFiles;
  #asked = false;
  #detached = false;
  #poweredOff = false;
  #panicked = false;
  #isPaused = false;
  /** Until a write that the host had no room for is tried again. */
  #diskRetry: NodeJS.Timeout | undefined;
  #diskFailedAt = Number.NEGATIVE_INFINITY;

  constructor(process: HostProcess, files: VmFiles, qmp: Qmp) {
    this.process = process;
    this.qmp = qmp;
    this.files = files;
    this.#disks = new DiskFiles(files, qmp);
    this.#directory = files.directory;
    qmp.onEvent(({ event, data }) => {
      if (event === 'GUEST_PANICKED') this.#panicked = true;
      if (event === 'BLOCK_IO_ERROR' && data.action === 'stop') this.#retryDisk();
      if (event !== 'SHUTDOWN') return;
      if (data.reason === 'guest-shutdown') this.#poweredOff = true;
      if (data.reason === 'guest-reset' || data.reason === 'guest-panic') this.#panicked = true;
    });
    this.exited = this.#untilExit();
  }

  connectAgentPort(): Promise<Duplex> {
    return connectUnix(join(this.#directory, 'agent.sock'), QMP_TIMEOUT_MS, () => isAlive(this.process));
  }

  async plugDisk(target: number, disk: DiskImage): Promise<void> {
    const node = `disk${target}`;
    const path = await this.#disks.open(target, disk);
    try {
      await this.qmp.execute('blockdev-add', blockdevOf(node, { ...disk, path }));
    } catch (error) {
      await this.#disks.close(target);
      if (path === disk.path && /Permission denied/.test(messageOf(error))) throw outOfReach(disk, error);
      throw error;
    }
    try {
      await refuseOtherFiles(this.qmp, node, disk);
      await this.qmp.execute('device_add', {
        ...{ driver: 'scsi-hd', id: `scsi-${node}`, drive: node, bus: 'scsi0.0' },
        ...{ channel: 0, 'scsi-id': target, lun: 0, 'write-cache': writeCacheOf(disk) },
      });
    } catch (error) {
      await this.qmp.execute('blockdev-del', { 'node-name': node });
      await this.#disks.close(target);
      throw error;
    }
  }

  readonly sharePorts = SHARE_PORTS;

  async plugShare(
    port: number,
    { tag, socketPath }: { readonly tag: string; readonly socketPath: string },
  ): Promise<void> {
    const chardev = `share${port}`;
    await this.qmp.execute('chardev-add', {
      id: chardev,
      backend: {
        type: 'socket',
        data: { addr: { type: 'unix', data: { path: this.files.places.nameOf(socketPath) } }, server: false },
      },
    });
    try {
      await this.qmp.execute('device_add', {
        ...{ driver: 'vhost-user-fs-pci', id: `fs-${chardev}`, bus: sharePort(port), chardev, tag },
      });
    } catch (error) {
      await this.qmp.execute('chardev-remove', { id: chardev });
      throw error;
    }
  }

  async unplugDisk(target: number): Promise<void> {
    const node = `disk${target}`;
    const device = `scsi-${node}`;
    await this.#untilDeleted(device, () => this.qmp.execute('device_del', { id: device }));
    await this.qmp.execute('blockdev-del', { 'node-name': node });
    await this.#disks.close(target);
  }

  async plugCard(card: number, { tap, mac }: { readonly tap: string; readonly mac: string }): Promise<void> {
    const netdev = `cardnet${card}`;
    await this.#addTap(netdev, tap);
    try {
      await this.qmp.execute('device_add', {
        ...{ driver: 'virtio-net-pci', id: `card${card}`, bus: cardPort(card), netdev, mac, romfile: '' },
      });
    } catch (error) {
      await this.qmp.execute('netdev_del', { id: netdev });
      throw error;
    }
  }

  async #addTap(id: string, tap: string): Promise<void> {
    if (!takesFiles(this.files)) {
      await this.qmp.execute('netdev_add', {
        ...{ type: 'tap', id, ifname: tap, script: 'no', downscript: 'no' },
      });
      return;
    }
    const file = { fdname: id };
    const add = { execute: 'netdev_add', arguments: { type: 'tap', id, fd: id } };
    await passFile(this.files, {
      ...{ how: 'tap', name: tap, commands: [{ execute: 'getfd', arguments: file }, add] },
      undo: { execute: 'closefd', arguments: file },
    });
  }

  /** A slot that the guest has switched off is empty at once. */
  async unplugCard(card: number, letGo: () => Promise<void>): Promise<void> {
    await this.#untilDeleted(`card${card}`, letGo);
    await this.qmp.execute('netdev_del', { id: `cardnet${card}` });
  }

  async cards(): Promise<readonly number[]> {
    const devices = (await this.qmp.execute('qom-list', { path: '/machine/peripheral' })) as {
      readonly name: string;
    }[];
    return devices.flatMap(({ name }) => /^card(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  }

  async forwardPort(forward: PortForward): Promise<void> {
    const said = await this.#monitor(addForwardCommand(forward));
    if (said !== '') throw new HyperError('unavailable', `forward port: QEMU says "${guestText(said)}"`);
  }

  async unforwardPort(port: HostPort): Promise<void> {
    const said = await this.#monitor(removeForwardCommand(port));
    if (!/ (removed|not found)$/.test(said))
      throw new HyperError('machine', `take back forwarded port: QEMU says "${guestText(said)}"`);
  }

  async forwardedPorts(): Promise<PortForward[]> {
    return parseForwards(await this.#monitor('info usernet'));
  }

  async diskUsage(): Promise<ReadonlyMap<number, DiskUsage>> {
    return diskUsageOf(await this.qmp.execute('query-blockstats'));
  }

  get waitsForDisk(): boolean {
    return performance.now() - this.#diskFailedAt < 5 * DISK_RETRY_MS;
  }

  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.qmp.execute('stop');
  }

  async resume(): Promise<void> {
    this.#isPaused = false;
    await this.qmp.execute('cont');
  }

  async kill(): Promise<void> {
    this.#asked = true;
    kill(this.process);
    await this.exited;
  }

  async consoleTail(): Promise<string> {
    return tailOf(join(this.#directory, 'console.log'));
  }

  detach(): void {
    this.#detached = true;
    clearTimeout(this.#diskRetry);
    this.qmp.close();
  }

  async #untilDeleted(device: string, remove: () => Promise<unknown>): Promise<void> {
    const deleted = this.qmp.event(({ event, data }) => event === 'DEVICE_DELETED' && data.device === device);
    deleted.catch(() => undefined); // the error of `remove` is the one to tell
    await remove();
    await deleted;
  }

  /** QEMU has stopped the machine with the write still to be done: going on tries it again. */
  #retryDisk(): void {
    this.#diskFailedAt = performance.now();
    clearTimeout(this.#diskRetry);
    this.#diskRetry = setTimeout(() => {
      if (this.#isPaused || this.#detached) return;
      this.qmp.execute('cont').catch(() => undefined); // it has ended, or will be tried again with the next failure
    }, DISK_RETRY_MS).unref();
  }

  /** The answer of QEMU's monitor for humans: QMP itself has no commands for the user-mode network. */
  async #monitor(command: string): Promise<string> {
    return String(await this.qmp.execute('human-monitor-command', { 'command-line': command })).trim();
  }

  async #untilExit(): Promise<MachineExit> {
    await this.qmp.closed;
    clearTimeout(this.#diskRetry);
    if (this.#detached) return new Promise(() => undefined);
    if (!(await gone(this.process, DEATH_TIMEOUT_MS))) {
      kill(this.process);
      await gone(this.process, DEATH_TIMEOUT_MS);
    }
    if (this.#asked) return { kind: 'stopped' };
    if (this.#poweredOff) return { kind: 'poweroff' };
    const message = this.#panicked
      ? "the guest's kernel has crashed"
      : `QEMU has ended: ${(await tailOf(join(this.#directory, 'qemu.log'))) || 'it was killed, and left no message'}`;
    return { kind: 'died', message, consoleTail: await this.consoleTail() };
  }
}

function outOfReach({ path }: DiskImage, cause: unknown): HyperError {
  return new HyperError(
    'unsupported',
    `use disk image ${path}: a machine that runs already can be given images of the file system of hyperd's root only; name it in the specification of the pod`,
    { cause },
  );
}

export interface QemuStart {
  readonly args: readonly string[];
  readonly files: VmFiles;
  readonly guard: NetworkGuard;
  /** The program that confines QEMU: host/confine.c. */
  readonly confine: string;
  readonly reach: Reach;
  /** The process's descriptors from 3 on. */
  readonly inherited: readonly number[];
}

/** Starts QEMU in a session of its own, so that it outlives the daemon, and takes control of it. */
export async function spawnQemu(
  request: VmRequest,
  { args, files, guard, confine, reach, inherited }: QemuStart,
): Promise<QemuVm> {
  const { directory } = request;
  const log = openSync(join(directory, 'qemu.log'), 'a', 0o600);
  let child: ChildProcess;
  try {
    const stdio = ['ignore' as const, log, log, ...inherited];
    const [program, all] = confined(confine, reach, [QEMU_PROGRAM, ...args]);
    child = spawn(program, all, { stdio, detached: true, ...guarded(guard) });
  } finally {
    closeSync(log);
  }
  let failure: Error | undefined;
  child.once('error', (error) => {
    failure = error;
  });
  child.unref();
  const { pid } = child;
  const startTicks = pid === undefined ? undefined : startTicksOf(pid);
  if (pid === undefined || startTicks === undefined) {
    await new Promise((resolve) => setImmediate(resolve));
    throw new HyperError(
      'machine',
      `start ${QEMU_PROGRAM}: ${failure?.message ?? (await tailOf(join(directory, 'qemu.log')))}`,
    );
  }
  const process_ = { pid, startTicks };
  try {
    request.onSpawn?.(process_);
    const vm = await takeControl(process_, files);
    await requireGuarded(process_.pid, guard);
    return vm;
  } catch (error) {
    kill(process_);
    await gone(process_, DEATH_TIMEOUT_MS);
    const said = await tailOf(join(directory, 'qemu.log'));
    throw new HyperError('machine', `start machine: ${messageOf(error)}${said && `: ${said}`}`, {
      cause: error,
    });
  }
}

/** Connects to a QEMU that runs in the directory. */
export async function takeControl(process_: HostProcess, files: VmFiles): Promise<QemuVm> {
  const qmp = await connectQmp(join(files.directory, 'qmp.sock'), QMP_TIMEOUT_MS, () => isAlive(process_));
  return new QemuVm(process_, files, qmp);
}

async function tailOf(path: string): Promise<string> {
  return (await endOf(path, TAIL_BYTES))
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .slice(-TAIL_LINES)
    .map(guestText)
    .join('\n');
}
