import type { BlockUsage, PodStats } from '@hyperd/client';
import { decimalSize } from './format.ts';

/** What `hyperctl stats` shows of one pod or container, and prints as JSON. */
export interface UsageRow {
  readonly pod: string;
  /** Id of the container; undefined: the whole pod. */
  readonly container?: string;
  /** Of one processor, since the sample before; undefined: there was none. */
  readonly cpuPercent: number | undefined;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  /** undefined for a container: the network is the pod's. */
  readonly network?: { readonly receivedBytes: number; readonly sentBytes: number };
  readonly block: { readonly readBytes: number; readonly writtenBytes: number };
  readonly processes: number;
}

/** The pod, or each of its containers; `before` is an earlier sample of it. */
export function usageRows(
  pod: string,
  now: PodStats,
  before: PodStats | undefined,
  each: boolean,
): UsageRow[] {
  const elapsedMs = before ? Date.parse(now.timestamp) - Date.parse(before.timestamp) : 0;
  const percent = (cpuNs: number, earlierNs: number | undefined): number | undefined =>
    elapsedMs > 0 && earlierNs !== undefined
      ? Math.max(0, (cpuNs - earlierNs) / (elapsedMs * 10_000))
      : undefined;
  const memoryLimitBytes = now.memory.limit;
  if (!each) {
    const { interfaces } = now.network;
    const network = {
      receivedBytes: interfaces.reduce((sum, { rx_bytes: bytes }) => sum + bytes, 0),
      sentBytes: interfaces.reduce((sum, { tx_bytes: bytes }) => sum + bytes, 0),
    };
    return [
      {
        ...{ pod, memoryBytes: now.memory.working_set, memoryLimitBytes, network, processes: now.processes },
        cpuPercent: percent(now.cpu.usage.total, before?.cpu.usage.total),
        block: blockOf(now.block),
      },
    ];
  }
  return now.container_stats.map((found) => {
    const earlier = before?.container_stats.find(({ container_id: id }) => id === found.container_id);
    return {
      ...{ pod, container: found.container_id, memoryBytes: found.memory.working_set, memoryLimitBytes },
      cpuPercent: percent(found.cpu.usage.total, earlier?.cpu.usage.total),
      ...{ block: blockOf(found.block), processes: found.processes },
    };
  });
}

function blockOf({ io_service_bytes_recursive: figures }: BlockUsage): UsageRow['block'] {
  return {
    readBytes: figures.reduce((sum, { stat }) => sum + stat.Read, 0),
    writtenBytes: figures.reduce((sum, { stat }) => sum + stat.Write, 0),
  };
}

/** A row of the table. `name`: of its container. */
export function usageCells(row: UsageRow, name: string | undefined): string[] {
  const { pod, container, cpuPercent, memoryBytes, memoryLimitBytes, network, block, processes } = row;
  return [
    pod,
    ...(container === undefined ? [] : [name ?? container.slice(0, 12)]),
    cpuPercent === undefined ? '--' : `${cpuPercent.toFixed(2)}%`,
    `${decimalSize(memoryBytes)} / ${decimalSize(memoryLimitBytes)}`,
    network ? `${decimalSize(network.receivedBytes)} / ${decimalSize(network.sentBytes)}` : '--',
    `${decimalSize(block.readBytes)} / ${decimalSize(block.writtenBytes)}`,
    String(processes),
  ];
}
