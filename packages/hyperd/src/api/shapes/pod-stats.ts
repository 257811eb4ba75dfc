import type { Static } from 'typebox';
import type { GuestStats, GuestUsage } from '../../guest/index.ts';
import type * as schemas from './schemas.ts';

/** The disks of a machine are behind one controller: its figures are told as those of one device. */
const SCSI_DISK_MAJOR = 8;

type PodStats = Static<typeof schemas.PodStats>;

/** PodStats of the original, with what each container has used. Times in ns, sizes in bytes. */
export function podStats(stats: GuestStats, at: Date): PodStats {
  const { total, interfaces, perCpuNs, loadAverage } = stats;
  return {
    cpu: { usage: cpuUsage(total, perCpuNs), load_average: Math.round(loadAverage * 1000) },
    block: blockUsage(total),
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
    filesystem: [],
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

function blockUsage({ readBytes, writeBytes, reads, writes }: GuestUsage): PodStats['block'] {
  const device = { name: 'disk', type: 'disk', source: '', major: SCSI_DISK_MAJOR, minor: 0 };
  return {
    io_service_bytes_recursive: [{ ...device, stat: { Read: readBytes, Write: writeBytes } }],
    io_serviced_recursive: [{ ...device, stat: { Read: reads, Write: writes } }],
  };
}
