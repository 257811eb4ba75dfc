/** What the daemon is told of a container; see the specification of pods. */
export interface ContainerSpec {
  readonly name?: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly workdir?: string;
  readonly envs?: readonly { readonly env: string; readonly value: string }[];
  readonly tty?: boolean;
  readonly readOnly?: boolean;
  readonly restartPolicy?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly user?: {
    readonly name: string;
    readonly group?: string;
    readonly additionalGroups?: readonly string[];
  };
  readonly stopSignal?: string;
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly ulimits?: readonly { readonly name: string; readonly hard: number; readonly soft: number }[];
  readonly volumes?: readonly {
    readonly path: string;
    readonly volume: string;
    readonly readOnly?: boolean;
    readonly detail?: VolumeSpec;
  }[];
}

export interface VolumeSpec {
  readonly name: string;
  /** Path on the host, or the name of a volume. */
  readonly source?: string;
  /** `vfs`, `volume`, `tmpfs`, `raw`, `qcow2`, `vdi`; none: an empty volume of the pod's own. */
  readonly format?: string;
  /** Of a disk image: its file system. */
  readonly fstype?: string;
  /** Of a disk image: how the host caches it. */
  readonly cache?: string;
  /** Of a tmpfs: `64m`; octal digits. */
  readonly option?: { readonly size?: string; readonly mode?: string };
}

/** A volume with a name, which outlives pods. */
export interface VolumeInfo {
  readonly name: string;
  readonly driver: string;
  /** Where its files are on the host. */
  readonly mountpoint: string;
  readonly labels: Readonly<Record<string, string>>;
  /** RFC 3339. */
  readonly createdAt: string;
  /** Ids of pods, running or not. */
  readonly usedBy: readonly string[];
  /** What it takes on the disk; not in lists. */
  readonly sizeBytes?: number;
}

/** What the daemon is told of a pod. Everything is optional. */
export interface PodSpec {
  readonly id?: string;
  readonly hostname?: string;
  readonly tty?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly resource?: { readonly vcpu?: number; readonly memory?: number };
  readonly restartPolicy?: string;
  /** The machine stays when the last container has ended, until the pod is stopped. */
  readonly keepVm?: boolean;
  /** The daemon removes the pod once it has ended. */
  readonly autoRemove?: boolean;
  readonly log?: { readonly type?: string; readonly config?: Readonly<Record<string, string>> };
  /** Addresses of name servers; with none the host's are used. */
  readonly dns?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly dnsOptions?: readonly string[];
  readonly containers?: readonly ContainerSpec[];
  readonly volumes?: readonly VolumeSpec[];
  readonly portmappings?: readonly PortMapping[];
  /** Name of a network, or `user` for the user-mode one; absent: as the daemon is set up. */
  readonly network?: string;
}

/** What a new network is to be; what is left out is chosen. */
export interface NetworkSpec {
  readonly name: string;
  /** Address with prefix length. */
  readonly subnet?: string;
  readonly gateway?: string;
  readonly mtu?: number;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface NetworkInfo {
  readonly name: string;
  /** Device of the daemon's host. */
  readonly bridge: string;
  readonly subnet: string;
  readonly gateway: string;
  readonly mtu: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Seconds since the epoch. */
  readonly createdAt: number;
  /** Those that have a place on it, running or not. */
  readonly pods: readonly { readonly pod: string; readonly address: string; readonly mac: string }[];
}

/** Published ports: numbers, or ranges `a-b` with as many ports on either side. */
export interface PortMapping {
  readonly containerPort: string;
  /** Empty or absent: one that the daemon chooses. */
  readonly hostPort?: string;
  /** `tcp` (the default) or `udp` */
  readonly protocol?: string;
  /** IPv4 address of the daemon's host to publish on; absent: as the daemon is set up. */
  readonly hostIP?: string;
}

export interface Container {
  /** With a slash in front. */
  readonly name: string;
  readonly containerID: string;
  readonly image: string;
  readonly imageID: string;
  readonly commands?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly tty?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly env?: readonly { readonly env: string; readonly value: string }[];
}

export interface ContainerStatus {
  readonly name: string;
  readonly containerID: string;
  readonly phase: 'pending' | 'running' | 'succeeded' | 'failed';
  readonly running: { readonly startedAt?: string };
  readonly terminated: {
    /** Absent: 0. */
    readonly exitCode?: number;
    readonly reason?: string;
    readonly message?: string;
    readonly startedAt?: string;
    readonly finishedAt?: string;
  };
}

export interface ContainerInfo {
  readonly container: Container;
  /** Seconds since the epoch. */
  readonly createdAt: number;
  readonly podID: string;
  readonly status: ContainerStatus;
}

/** Times in ms since the start began. */
export interface StartTrace {
  /** RFC 3339 */
  readonly startedAt: string;
  /** `pool`, `clone` or `boot` */
  readonly machine?: string;
  /** It was made ready for the pod's image. */
  readonly ready?: boolean;
  readonly phases: readonly { readonly name: string; readonly atMs: number; readonly ms: number }[];
  readonly totalMs?: number;
  readonly firstByteMs?: number;
}

export interface PodInfo {
  readonly podID: string;
  readonly podName: string;
  readonly vm?: string;
  readonly createdAt: number;
  readonly spec: {
    readonly containers?: readonly Container[];
    readonly labels?: Readonly<Record<string, string>>;
    readonly portMappings?: readonly PortMapping[];
    readonly vcpu?: number;
    readonly memory?: number;
  };
  readonly status: {
    readonly phase: 'Pending' | 'Running' | 'Paused' | 'Succeeded' | 'Failed';
    readonly message?: string;
    readonly podIP?: readonly string[];
    readonly startTime?: string;
    readonly finishTime?: string;
    readonly containerStatus?: readonly ContainerStatus[];
  };
  /** Where the time of its last start went. */
  readonly startTrace?: StartTrace;
}

/** An address in a pod whose connections go to the hosts in turn. */
export interface PodServiceAddress {
  /** IPv4. */
  readonly serviceIP: string;
  readonly servicePort: number;
  /** `tcp` (the default) or `udp` */
  readonly protocol?: string;
  readonly hosts?: readonly { readonly hostIP: string; readonly hostPort: number }[];
}

export interface PodSummary {
  readonly id: string;
  readonly name: string;
  /** Empty without one. */
  readonly machine: string;
  readonly status: string;
}

export interface ContainerSummary {
  readonly id: string;
  readonly name: string;
  readonly pod: string;
  readonly status: string;
}

export interface MachineSummary {
  readonly id: string;
  /** Empty without one. */
  readonly pod: string;
  readonly status: string;
}

export interface DaemonInfo {
  readonly ID: string;
  readonly Containers: number;
  readonly Images: number;
  readonly Pods: number;
  readonly Driver: string;
  readonly DriverStatus: readonly (readonly [string, string])[];
  readonly DockerRootDir: string;
  readonly IndexServerAddress: string;
  readonly ExecutionDriver: string;
  /** KiB */
  readonly MemTotal: number;
  readonly 'Operating System': string;
  readonly Name?: string;
}

export interface ListOptions {
  readonly pod?: string;
  readonly machine?: string;
  /** Values of `status` are alternatives; labels (`KEY` or `KEY=VALUE`) have all to be there. */
  readonly filters?: { readonly status?: readonly string[]; readonly label?: readonly string[] };
}

/** What `Client.listed` tells of each. */
export interface ListedItems {
  readonly pod: {
    readonly id: string;
    readonly status: string;
    /** Empty without one. */
    readonly machine: string;
    readonly labels: Readonly<Record<string, string>>;
    /** RFC 3339 */
    readonly createdAt: string;
    /** Names. */
    readonly containers: readonly string[];
  };
  readonly container: {
    readonly id: string;
    readonly name: string;
    readonly pod: string;
    readonly status: string;
    readonly image: string;
    readonly labels: Readonly<Record<string, string>>;
    /** RFC 3339 */
    readonly createdAt: string;
    /** Of one that has ended. */
    readonly exitCode?: number;
  };
  readonly vm: {
    readonly id: string;
    /** Empty without one. */
    readonly pod: string;
    readonly status: string;
  };
}
