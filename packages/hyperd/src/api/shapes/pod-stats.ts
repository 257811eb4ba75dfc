import type { Static } from 'typebox';
import type { GuestFileSystem, GuestUsage } from '../../guest/index.ts';
import type { DiskUsage, MachineDisk } from '../../machines/machine.ts';
import type { PodUsage } from '../../pods/pod-service.ts';
import type * as schemas from './usage-schemas.ts';

const SCSI_DISK_MAJOR = 8;
const SECTOR_BYTES = 512;

type PodStats = Static<typeof schemas.PodStats>;

/** PodStats of the original, with what each container has used. Times in ns, sizes in bytes. */
export function podStats({ guest: stats, disks }: PodUsage, at: Date): PodStats {
  const { total, interfaces, perCpuNs, loadAverage } = stats;
  return {
    cpu: { usage: cpuUsage(total, perCpuNs), load_average: Math.round(loadAverage * 1000) },
    block: diskUsage(disks),
    processes: total.processes,
    memory: {
      ...memoryUsage(total),
      failcnt: total.oomKills,
      limit: stats.memoryTotalBytes,
      container_data: { pgfault: total.pageFaults, pgmajfault: total.majorPageFaults },
      hierarchical_data: { pgfault: total.pageFaults, pgmajfault: total.majorPageFaults },
    },
    network: {
      interfaces: interfaces.map((found) => ({
        ...{ name: found.name, rx_bytes: found.rxBytes, rx_packets: found.rxPackets },
        ...{ rx_errors: found.rxErrors, rx_dropped: found.rxDropped },
        ...{ tx_bytes: found.txBytes, tx_packets: found.txPackets },
        ...{ tx_errors: found.txErrors, tx_dropped: found.txDropped },
      })),
    },
    filesystem: stats.fileSystems.map((found) => fileSystem(found, disks)),
    timestamp: at.toISOString(),
    container_stats: [...stats.containers].map(([containerId, usage]) => ({
      ...{ container_id: containerId, cpu: { usage: cpuUsage(usage, []) }, block: blockUsage(usage) },
      ...{ memory: memoryUsage(usage), processes: usage.processes },
    })),
  };
}

function cpuUsage(
  { cpuNs, cpuUserNs, cpuSystemNs }: GuestUsage,
  perCpuNs: readonly number[],
): PodStats['cpu']['usage'] {
  return { total: cpuNs, per_cpu_usage: [...perCpuNs], user: cpuUserNs, system: cpuSystemNs };
}

function memoryUsage({
  memoryBytes,
  memoryInactiveFileBytes,
}: GuestUsage): Pick<PodStats['memory'], 'usage' | 'working_set'> {
  return { usage: memoryBytes, working_set: Math.max(0, memoryBytes - memoryInactiveFileBytes) };
}

/** As the hypervisor counts it: a disk's `minor` is its SCSI target. */
function diskUsage(disks: readonly MachineDisk[]): PodStats['block'] {
  const each = (
    read: (disk: DiskUsage) => number,
    write: (disk: DiskUsage) => number,
  ): PodStats['block']['io_serviced_recursive'] =>
    disks.map((disk) => ({
      ...{ name: disk.name, type: 'disk', source: '', major: SCSI_DISK_MAJOR, minor: disk.target },
      stat: { Read: read(disk), Write: write(disk) },
    }));
  return {
    io_service_bytes_recursive: each(
      ({ readBytes }) => readBytes,
      ({ writeBytes }) => writeBytes,
    ),
    io_serviced_recursive: each(
      ({ reads }) => reads,
      ({ writes }) => writes,
    ),
    io_queue_recursive: null,
    io_service_time_recursive: each(
      ({ readNs }) => readNs,
      ({ writeNs }) => writeNs,
    ),
    io_wait_time_recursive: null,
    io_merged_recursive: each(
      ({ mergedReads }) => mergedReads,
      ({ mergedWrites }) => mergedWrites,
    ),
    io_time_recursive: null,
    sectors_recursive: each(
      ({ readBytes }) => readBytes / SECTOR_BYTES,
      ({ writeBytes }) => writeBytes / SECTOR_BYTES,
    ),
  };
}

function fileSystem(
  { disk, sizeBytes, availableBytes }: GuestFileSystem,
  disks: readonly MachineDisk[],
): PodStats['filesystem'][number] {
  const usage = disks.find(({ name }) => name === disk);
  return {
    ...{ device: disk, capacity: sizeBytes, usage: sizeBytes - availableBytes, available: availableBytes },
    ...{ reads_completed: usage?.reads ?? 0, reads_merged: usage?.mergedReads ?? 0 },
    ...{ sectors_read: (usage?.readBytes ?? 0) / SECTOR_BYTES, read_time: (usage?.readNs ?? 0) / 1e6 },
    ...{ writes_completed: usage?.writes ?? 0, writes_merged: usage?.mergedWrites ?? 0 },
    ...{ sectors_written: (usage?.writeBytes ?? 0) / SECTOR_BYTES, write_time: (usage?.writeNs ?? 0) / 1e6 },
  };
}

/** As the guest's kernel counts it for a container. */
function blockUsage({
  readBytes,
  writeBytes,
  reads,
  writes,
}: GuestUsage): PodStats['container_stats'][number]['block'] {
  const device = { name: 'disk', type: 'disk', source: '', major: SCSI_DISK_MAJOR, minor: 0 };
  return {
    io_service_bytes_recursive: [{ ...device, stat: { Read: readBytes, Write: writeBytes } }],
    io_serviced_recursive: [{ ...device, stat: { Read: reads, Write: writes } }],
  };
}
