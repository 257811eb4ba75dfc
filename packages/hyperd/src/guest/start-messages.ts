import type { ContainerStart, GuestBind, GuestDisk, GuestMount } from './agent.ts';
import { AttachDisk_Use, Mount_Source } from './gen/agent_pb.js';
import { processMessage } from './messages.ts';

/** How long a plugged device may take to appear in the guest, in ms. */
export const DEVICE_TIMEOUT_MS = 10_000;

const USES = {
  ...{ rootfs: AttachDisk_Use.ROOTFS, scratch: AttachDisk_Use.SCRATCH, volume: AttachDisk_Use.VOLUME },
} as const;

/** The schema's AttachDisk. */
export function diskMessage({ target, use, name, readOnly = false, fileSystem = '' }: GuestDisk) {
  return { target, use: USES[use], name, readOnly, fileSystem, timeoutMs: DEVICE_TIMEOUT_MS };
}

/** The schema's StartContainer. */
export function containerMessage(start: ContainerStart) {
  const { containerId, rootfsDisk, scratchDisk, readOnlyRootfs, process, files, sysctls } = start;
  const { layers = [], binds = [], noNetwork = false, mounts = [] } = start;
  return {
    ...{ containerId, rootfsDisk, scratchDisk, readOnlyRootfs, process: processMessage(process) },
    files: files.map((file) => ({ ...file, content: Uint8Array.from(file.content) })),
    sysctls: Object.entries(sysctls).map(([key, value]) => ({ key, value })),
    ...{ layers: [...layers], binds: binds.map(bindMessage), noNetwork },
    mounts: mounts.map(mountMessage),
  };
}

function bindMessage({ sizeBytes = 0, ...bind }: GuestBind) {
  return { ...bind, size: BigInt(sizeBytes) };
}

function mountMessage({ path, readOnly, source }: GuestMount) {
  const common = { path, readOnly, name: source.name };
  switch (source.kind) {
    case 'tmpfs':
      return {
        ...{ ...common, source: Mount_Source.TMPFS, mode: source.mode },
        size: BigInt(source.sizeBytes),
      };
    case 'disk':
      return { ...common, source: Mount_Source.DISK };
    case 'share':
    case 'scratch': {
      const { subpath, fill, mode, kind } = source;
      return {
        ...common,
        ...{ source: kind === 'share' ? Mount_Source.SHARE : Mount_Source.SCRATCH, subpath, fill, mode },
      };
    }
  }
}
