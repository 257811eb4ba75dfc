import type { PodInfo } from './types.ts';

/** Times in ns, sizes in bytes. */
export interface CpuUsage {
  readonly total: number;
  readonly per_cpu_usage: readonly number[];
  readonly user: number;
  readonly system: number;
}

export interface MemoryUsage {
  readonly usage: number;
  /** Without what the kernel can take back at once. */
  readonly working_set: number;
}

export interface BlockFigure {
  readonly name: string;
  readonly major: number;
  readonly minor: number;
  readonly stat: { readonly Read: number; readonly Write: number };
}

export interface BlockUsage {
  readonly io_service_bytes_recursive: readonly BlockFigure[];
  readonly io_serviced_recursive: readonly BlockFigure[];
}

export interface InterfaceUsage {
  readonly name: string;
  readonly rx_bytes: number;
  readonly rx_packets: number;
  readonly rx_errors: number;
  readonly rx_dropped: number;
  readonly tx_bytes: number;
  readonly tx_packets: number;
  readonly tx_errors: number;
  readonly tx_dropped: number;
}

/** What a pod and its containers have used since they were started. */
export interface PodStats {
  readonly cpu: { readonly usage: CpuUsage; readonly load_average: number };
  /** A disk has one figure in each list. */
  readonly block: BlockUsage;
  readonly memory: MemoryUsage & { readonly failcnt: number; readonly limit: number };
  readonly network: { readonly interfaces: readonly InterfaceUsage[] };
  readonly filesystem: readonly {
    readonly device: string;
    readonly capacity: number;
    readonly usage: number;
    readonly available: number;
  }[];
  readonly processes: number;
  /** RFC 3339 */
  readonly timestamp: string;
  readonly container_stats: readonly {
    readonly container_id: string;
    readonly cpu: { readonly usage: CpuUsage };
    readonly block: BlockUsage;
    readonly memory: MemoryUsage;
    readonly processes: number;
  }[];
}

/** A process of a container; its ids are as the container sees them. */
export interface ContainerProcess {
  readonly pid: number;
  /** 0: its parent is outside of the container. */
  readonly ppid: number;
  readonly uid: number;
  /** Its name in the container, else the number. */
  readonly user: string;
  /** One letter, as ps(1) has it. */
  readonly state: string;
  /** RFC 3339 */
  readonly started_at: string;
  /** ns */
  readonly cpu_time: number;
  /** Bytes. */
  readonly memory: number;
  readonly command: string;
}

/** How a pod has ended, or that it was never started. */
export interface PodEnd {
  readonly podID: string;
  /** That of the first container that failed. */
  readonly exitCode: number;
  readonly status: PodInfo['status'];
}
