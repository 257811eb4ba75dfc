import type { GuestContainerProcess, GuestInterface, GuestStats, GuestUsage } from './agent.ts';
import type { ContainerProcess, Interface, Stats, Usage } from './gen/agent_pb.js';
import { guestText } from './guest-text.ts';

/** The guest's figures, with nothing in them that is not checked: numbers that we cannot hold are cut. */
export function guestStats(stats: Stats): GuestStats {
  return {
    total: usageOf(stats.total),
    perCpuNs: stats.perCpuNs.map(number),
    loadAverage: stats.loadAverageMilli / 1000,
    memoryTotalBytes: number(stats.memoryTotal),
    interfaces: stats.interfaces.map(interfaceOf),
    fileSystems: stats.fileSystems.map(({ disk, size, available }) => ({
      ...{ disk: guestText(disk), sizeBytes: number(size), availableBytes: number(available) },
    })),
    containers: new Map(stats.containers.map((usage) => [guestText(usage.containerId), usageOf(usage)])),
  };
}

/** A process that the guest tells of, checked as well. */
export function guestProcess(found: ContainerProcess): GuestContainerProcess {
  return {
    ...{ pid: found.pid, parent: found.parent, uid: found.uid, user: guestText(found.user) },
    ...{ state: guestText(found.state), command: guestText(found.command) },
    ...{ cpuNs: number(found.cpuNs), ageNs: number(found.ageNs), memoryBytes: number(found.memory) },
  };
}

function usageOf(usage: Usage | undefined): GuestUsage {
  return {
    ...{
      cpuNs: number(usage?.cpuNs),
      cpuUserNs: number(usage?.cpuUserNs),
      cpuSystemNs: number(usage?.cpuSystemNs),
    },
    memoryBytes: number(usage?.memory),
    memoryInactiveFileBytes: number(usage?.memoryInactiveFile),
    ...{ pageFaults: number(usage?.pageFaults), majorPageFaults: number(usage?.majorPageFaults) },
    ...{ oomKills: number(usage?.oomKills), processes: number(usage?.processes) },
    ...{ readBytes: number(usage?.readBytes), writeBytes: number(usage?.writeBytes) },
    ...{ reads: number(usage?.reads), writes: number(usage?.writes) },
  };
}

function interfaceOf(found: Interface): GuestInterface {
  return {
    name: guestText(found.name),
    ...{ rxBytes: number(found.rxBytes), rxPackets: number(found.rxPackets) },
    ...{ rxErrors: number(found.rxErrors), rxDropped: number(found.rxDropped) },
    ...{ txBytes: number(found.txBytes), txPackets: number(found.txPackets) },
    ...{ txErrors: number(found.txErrors), txDropped: number(found.txDropped) },
  };
}

function number(value: bigint | undefined): number {
  const cut = value ?? 0n;
  return cut > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(cut);
}
