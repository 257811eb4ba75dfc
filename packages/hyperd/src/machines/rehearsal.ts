import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperError } from '../errors.ts';
import { CommandError, type GuestAgent, type GuestProcess, type OutputSink } from '../guest/index.ts';
import type { Vm } from './driver.ts';
import type { Machine } from './machine.ts';
import type { ScratchDisks } from './scratch-disk.ts';

/** What a rehearsal takes place in. */
export type Stage = Pick<Machine, 'agent' | 'attachDisk' | 'detachDisk'>;

/** What a rehearsal needs: a tiny image's root file system, and who makes an empty writable disk. */
export interface RehearsalDisks {
  readonly rehearsalDisk: string;
  readonly scratch: ScratchDisks;
}

const CONTAINER = 'rehearsal';
const ROOTFS = 'rehearsal';
const SCRATCH = 'rehearsal-scratch';
/** The highest that there is: no pod comes to it. */
const PROCESS_ID = 2 ** 29;
const TIMEOUT_MS = 30_000;
const NOWHERE: OutputSink = { data: () => undefined, end: () => undefined };

/**
 * Plugs a root file system and a writable disk, runs a container once and takes everything away again: the start of a real one then finds the guest's
 * code read in and, where it is emulated, translated. Rejects where any of that fails; `directory`, where the writable disk stands meanwhile, goes with the
 * machine.
 */
export async function rehearse(
  machine: Stage,
  directory: string,
  { rehearsalDisk, scratch: scratchDisks }: RehearsalDisks,
): Promise<void> {
  const path = join(directory, 'rehearsal.img');
  await scratchDisks.ensure(path);
  const rootfs = { path: rehearsalDisk, format: 'raw', readOnly: true } as const;
  const scratch = { path, format: 'raw', readOnly: false, cache: 'unsafe' } as const;
  await Promise.all([
    machine.attachDisk(rootfs, { use: 'rootfs', name: ROOTFS }),
    machine.attachDisk(scratch, { use: 'scratch', name: SCRATCH }),
  ]);
  await rehearseContainer(machine.agent, { rootfsDisk: ROOTFS, scratchDisk: SCRATCH });
  await machine.detachDisk(ROOTFS);
  await machine.detachDisk(SCRATCH);
  await rm(path);
}

/** A machine that is nothing but a virtual machine and its agent, as a stage. */
export function bareStage(vm: Vm, agent: GuestAgent): Stage {
  const plugged: string[] = [];
  return {
    agent,
    async attachDisk(disk, as) {
      const target = plugged.push(as.name);
      await vm.plugDisk(target, disk);
      await agent.attachDisk({ ...as, target, readOnly: disk.readOnly });
    },
    async detachDisk(name) {
      await agent.detachDisk(name);
      await vm.unplugDisk(plugged.indexOf(name) + 1);
    },
  };
}

/** Runs a container's shell, where it has one, on disks that are plugged. Nothing of it stays on them. */
export async function rehearseContainer(
  agent: GuestAgent,
  disks: { readonly rootfsDisk: string; readonly scratchDisk: string },
): Promise<void> {
  const process = {
    ...{ id: PROCESS_ID, args: ['/bin/sh', '-c', ':'], env: [], cwd: '/', user: '', additionalGroups: [] },
    ...{ tty: false, rows: 0, columns: 0, noStdin: true, rlimits: [] },
  };
  const files = ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf'].map((path) => ({
    ...{ path, content: Buffer.from('\n'), mode: 0o644, uid: 0, gid: 0 },
  }));
  const start = {
    ...{ containerId: CONTAINER, ...disks, readOnlyRootfs: false, process, files, sysctls: {} },
  };
  let started: GuestProcess;
  try {
    started = await agent.startContainer(start, NOWHERE);
  } catch (error) {
    if (error instanceof CommandError) return; // there is no shell: all but that was rehearsed
    throw error;
  }
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => timeout.reject(new HyperError('timeout', `rehearse: no end within ${TIMEOUT_MS} ms`)),
    TIMEOUT_MS,
  );
  try {
    await Promise.race([started.exited, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
  await started.release();
  await agent.removeContainer(CONTAINER, { deleteUpper: true });
}
