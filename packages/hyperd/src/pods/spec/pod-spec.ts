import type { DiskCache } from '../../machines/machine.ts';

/**
 * A pod specification after parsing: the original's `UserPod` with defaults filled in and every value checked.
 * `parsePodSpec` and `parseContainerSpec` are the only ways to get one.
 */
export interface PodSpec {
  /** Id and name of the pod; generated when the client gave none. */
  readonly id: string;
  readonly hostname: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly resource: { readonly vcpus: number; readonly memoryMib: number };
  readonly restartPolicy: RestartPolicy;
  /** The machine stays when the last container has ended, until the pod is stopped. */
  readonly keepMachine: boolean;
  /** The pod is removed once it has ended, unless its restart policy starts it again. */
  readonly autoRemove: boolean;
  readonly log: { readonly type: string; readonly config: Readonly<Record<string, string>> };
  readonly dns: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly containers: readonly ContainerSpec[];
  readonly files: readonly FileSpec[];
  readonly volumes: readonly VolumeSpec[];
  readonly portMappings: readonly PortMapping[];
  /** Name of the network to be on, `user` for the user-mode one; empty: the daemon's default. */
  readonly network: string;
  readonly interfaces: readonly InterfaceSpec[];
  readonly services: readonly ServiceSpec[];
  /** Subnets of IPv4, none within another; they count where both are given. */
  readonly portMappingWhiteLists: {
    readonly internalNetworks: readonly string[];
    readonly externalNetworks: readonly string[];
  };
}

export type RestartPolicy = 'never' | 'onFailure' | 'always';

export interface ContainerSpec {
  /** Unique in the daemon; empty until the pod service has given it one. */
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly entrypoint: readonly string[];
  readonly workdir: string;
  readonly envs: readonly { readonly env: string; readonly value: string }[];
  readonly tty: boolean;
  readonly user: {
    readonly name: string;
    readonly group: string;
    readonly additionalGroups: readonly string[];
  };
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string;
  /** -1: no limit. */
  readonly ulimits: readonly { readonly name: string; readonly hard: number; readonly soft: number }[];
  readonly readOnly: boolean;
  readonly sysctl: Readonly<Record<string, string>>;
  readonly restartPolicy: RestartPolicy;
  readonly volumes: readonly VolumeReference[];
  readonly files: readonly FileReference[];
  /** For the pod, of a container that is added to it; those of a pod's first containers are among its own already. */
  readonly portMappings: readonly PortMapping[];
}

/** Ports are numbers or ranges `a-b`, as many on either side. */
export interface PortMapping {
  readonly containerPort: string;
  /** Empty: one port that is chosen when the pod starts. */
  readonly hostPort: string;
  /** `tcp` or `udp` */
  readonly protocol: string;
  /** IPv4 address of the host; empty: where the daemon publishes by default. */
  readonly hostIP: string;
  /** `hostPort` was chosen, so that another one will do as well. */
  readonly isChosen?: boolean;
}

/** A network interface that the client describes; empty and 0: as the daemon chooses. */
export interface InterfaceSpec {
  readonly bridge: string;
  /** With prefix length; several separated by commas. */
  readonly ip: string;
  readonly ifname: string;
  readonly mac: string;
  readonly mtu: number;
  readonly gateway: string;
}

/** A balanced address inside the pod. */
export interface ServiceSpec {
  readonly serviceIP: string;
  readonly servicePort: number;
  /** `tcp` or `udp` */
  readonly protocol: string;
  readonly hosts: readonly { readonly hostIP: string; readonly hostPort: number }[];
}

export interface VolumeSpec {
  readonly name: string;
  readonly source: string;
  /** Empty: an empty volume of the pod's own. */
  readonly format: '' | VolumeFormat;
  /** Of a disk image; empty: found out. */
  readonly fstype: string;
  /** Of a disk image; empty: write back. */
  readonly cache: '' | DiskCache;
  /** Of a tmpfs, in bytes; 0: half of the machine's memory. */
  readonly sizeBytes: number;
  /** Of a tmpfs. */
  readonly mode: number;
}

/** `volume`: one with a name. */
export type VolumeFormat = 'vfs' | 'volume' | 'tmpfs' | 'raw' | 'qcow2' | 'vdi' | 'rbd' | 'nas';

export interface VolumeReference {
  readonly path: string;
  readonly volume: string;
  readonly readOnly: boolean;
  readonly detail: VolumeSpec | undefined;
}

export interface FileSpec {
  readonly name: string;
  readonly encoding: string;
  readonly uri: string;
  readonly content: string;
}

export interface FileReference {
  readonly path: string;
  readonly filename: string;
  /** Octal digits. */
  readonly perm: string;
  readonly user: string;
  readonly group: string;
  readonly detail: FileSpec | undefined;
}
