import type { Duplex } from 'node:stream';

/** What the agent says of itself in its Welcome (guest/agent.proto). */
export interface AgentInfo {
  readonly agentVersion: string;
  readonly kernelRelease: string;
  /** Bytes that may be unacknowledged on one stream. */
  readonly windowBytes: number;
  /** True when this machine, or the one that its template was made of, has been given an identity. */
  readonly configured: boolean;
}

/** What makes a machine itself after a boot or a restore; see Configure in guest/agent.proto. */
export interface GuestIdentity {
  readonly hostname: string;
  /** 32 hex digits. */
  readonly machineId: string;
  /** Absent: it stays as it is. */
  readonly network?: GuestNetwork;
}

export interface GuestNetwork {
  readonly mac: string;
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly mtu: number;
  /** Empty: the guest has no IPv6. */
  readonly address6: string;
  readonly prefixLength6: number;
  readonly gateway6: string;
}

export interface GuestDisk {
  /** SCSI target the driver plugged it at. */
  readonly target: number;
  readonly use: DiskUse;
  readonly name: string;
  /** Of a volume: mounted read-only. */
  readonly readOnly?: boolean;
  /** Of a volume: its type; absent: found out. */
  readonly fileSystem?: string;
}

/** `volume`: somebody's disk with whatever file system it has. */
export type DiskUse = 'rootfs' | 'scratch' | 'volume';

/** A volume in a container; see Mount in guest/agent.proto. */
export interface GuestMount {
  /** Absolute, in the container. */
  readonly path: string;
  readonly readOnly: boolean;
  readonly source:
    | {
        readonly kind: 'share' | 'scratch';
        readonly name: string;
        readonly subpath: string;
        readonly fill: boolean;
        readonly mode: number;
      }
    | { readonly kind: 'disk'; readonly name: string }
    /** `name` empty: the container's own. `sizeBytes` 0: half of the memory. */
    | { readonly kind: 'tmpfs'; readonly name: string; readonly sizeBytes: number; readonly mode: number };
}

/** Connections of the machine to `address:port` (IPv4) go to the backends in turn. */
export interface GuestService {
  readonly address: string;
  readonly port: number;
  readonly udp: boolean;
  readonly backends: readonly { readonly address: string; readonly port: number }[];
}

export interface ProcessSpec {
  /** Chosen by the caller, unique in the machine's life. */
  readonly id: number;
  readonly args: readonly string[];
  /** `KEY=value` */
  readonly env: readonly string[];
  readonly cwd: string;
  /** `""`, `user`, `uid`, `user:group` or `uid:gid`; names are looked up in the rootfs. */
  readonly user: string;
  readonly additionalGroups: readonly string[];
  readonly tty: boolean;
  readonly rows: number;
  readonly columns: number;
  readonly noStdin: boolean;
  readonly rlimits: readonly { readonly name: string; readonly soft: bigint; readonly hard: bigint }[];
  /**
   * Work on files in place of a program: a tar from stdin is unpacked below `args[0]`, or `args[0]` packed to stdout; `layer`: what a container
   * has changed is packed; `socket`: the connections of a unix socket are carried (arguments: LAYER and SOCKET in guest/agent.proto).
   */
  readonly builtin?: 'extract' | 'archive' | 'layer' | 'prune' | 'socket';
}

export interface InjectedFile {
  readonly path: string;
  readonly content: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface ContainerStart {
  readonly containerId: string;
  readonly rootfsDisk: string;
  readonly scratchDisk: string;
  readonly readOnlyRootfs: boolean;
  readonly process: ProcessSpec;
  readonly files: readonly InjectedFile[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly mounts?: readonly GuestMount[];
  /** Further lower layers, the topmost first: a rootfs disk, or `SCRATCH/ID`, what a container has changed. */
  readonly layers?: readonly string[];
  readonly binds?: readonly GuestBind[];
  /** Nothing but loopback. */
  readonly noNetwork?: boolean;
}

/** What a container has mounted in it: see Bind in guest/agent.proto. */
export interface GuestBind {
  /** `DISK/PATH`; empty: a new tmpfs. */
  readonly source: string;
  readonly target: string;
  readonly readOnly?: boolean;
  readonly create?: boolean;
  readonly discard?: boolean;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: number;
}

export interface ExitStatus {
  /** 0..255; 128 + signal when a signal ended the process. */
  readonly exitCode: number;
  /** 0 when the process exited by itself. */
  readonly signal: number;
  readonly exitedAt: Date;
  readonly outOfMemory: boolean;
}

/** One of a process's output streams. With a tty everything is `stdout`. */
export type OutputStream = 'stdout' | 'stderr';

/**
 * Where a process's output goes. Called in stream order; `chunk` is only valid until the call returns (copy to keep).
 * `endOffset` is the stream offset behind the chunk. The agent keeps every byte until
 * `GuestProcess.acknowledge`; it stops the process's writes once `windowBytes` are unacknowledged.
 */
export interface OutputSink {
  data(stream: OutputStream, chunk: Uint8Array, endOffset: number): void;
  /** The stream has ended; no data follows. Called once a stream. */
  end(stream: OutputStream): void;
}

/** State of a process that an earlier connection started (ProcessState in guest/agent.proto). */
export interface GuestProcessState {
  readonly id: number;
  readonly containerId: string;
  readonly init: boolean;
  readonly tty: boolean;
  readonly exit: ExitStatus | undefined;
}

/**
 * A process in the guest. Made by `GuestAgent.startContainer`, `startProcess` or `adoptProcess`; valid until `release`
 * or until the agent is closed.
 */
export interface GuestProcess {
  readonly id: number;
  /** Resolves when the process has ended; rejects (HyperError `machine`) when the agent is closed before. */
  readonly exited: Promise<ExitStatus>;
  /** All bytes of `stream` below `offset` are safe with us: the agent may forget them. Offsets only grow. */
  acknowledge(stream: OutputStream, offset: number): void;
  /** Resolves once the window has room again: await it before the next write. Rejects once stdin has ended. */
  writeStdin(chunk: Uint8Array): Promise<void>;
  /** Ends stdin behind what was written. Repeatable. */
  endStdin(): void;
  signal(signal: number): Promise<void>;
  resize(rows: number, columns: number): Promise<void>;
  /** Makes the agent forget the exited process. */
  release(): Promise<void>;
}

/** What a container, or all of a machine's, has used so far. Times in ns. */
export interface GuestUsage {
  readonly cpuNs: number;
  readonly cpuUserNs: number;
  readonly cpuSystemNs: number;
  readonly memoryBytes: number;
  /** Page cache that the kernel can take back at once. */
  readonly memoryInactiveFileBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
  readonly oomKills: number;
  readonly processes: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
}

export interface GuestInterface {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

export interface GuestFileSystem {
  readonly disk: string;
  readonly sizeBytes: number;
  readonly availableBytes: number;
}

export interface GuestStats {
  readonly total: GuestUsage;
  /** Of the whole machine, time that was not idle. */
  readonly perCpuNs: readonly number[];
  readonly loadAverage: number;
  readonly memoryTotalBytes: number;
  readonly interfaces: readonly GuestInterface[];
  /** Of the scratch disks, by the disk's name. */
  readonly fileSystems: readonly GuestFileSystem[];
  /** By container id. */
  readonly containers: ReadonlyMap<string, GuestUsage>;
}

/** A process of a container, as it was found a moment ago. */
export interface GuestContainerProcess {
  /** As the container sees it. */
  readonly pid: number;
  /** The same of its parent; 0: that is outside of the container. */
  readonly parent: number;
  readonly uid: number;
  /** In the container's `/etc/passwd`; empty where it is not there. */
  readonly user: string;
  /** One letter, as ps(1) has it. */
  readonly state: string;
  readonly cpuNs: number;
  readonly ageNs: number;
  readonly memoryBytes: number;
  /** Its arguments, cut after 255 bytes; in brackets its name, where it has none. */
  readonly command: string;
}

/**
 * The daemon's end of the guest agent's protocol, over one connection. All calls reject with HyperError: `timeout` after the
 * connection's call timeout, `machine` when the connection ends or the guest breaks the protocol, and what Error.Code
 * of guest/agent.proto says otherwise. Nothing that the guest sends is trusted: lengths, ids, offsets and texts are checked.
 * Made by `connectAgent`; whoever made it disposes of it (which closes the stream, not the machine).
 */
export interface GuestAgent extends AsyncDisposable {
  readonly info: AgentInfo;
  /** Resolves with the reason when the connection has ended, whoever ended it. Never rejects. */
  readonly closed: Promise<Error>;
  /** Entropy and clock are added here. May be repeated while the machine has no containers. */
  configure(identity: GuestIdentity): Promise<void>;
  setClock(): Promise<void>;
  /** For a machine that gets its pod after it was configured. */
  setHostname(hostname: string): Promise<void>;
  attachDisk(disk: GuestDisk): Promise<void>;
  detachDisk(name: string): Promise<void>;
  /** Loads the kernel modules of an attached disk. Repeatable. */
  loadModules(disk: string): Promise<void>;
  /** Has the guest's kernel balance these and no others; connections of what stays go on. */
  setServices(services: readonly GuestService[]): Promise<void>;
  /** Mounts the virtio-fs device with this tag. `files`: how many the host's server can have open; 0: any number. */
  mountShare(name: string, files: number): Promise<void>;
  /** Waits for a further network card, which it finds by its MAC address, and configures it. Repeatable. */
  addCard(network: GuestNetwork): Promise<void>;
  /** Lets go of such a card. Rejects `not-found`. */
  removeCard(mac: string): Promise<void>;
  /** Rejects with `command-not-found`/`command-not-executable` as CommandError. */
  startContainer(start: ContainerStart, sink: OutputSink): Promise<GuestProcess>;
  /** `containerId` empty: in the agent's own namespaces. */
  startProcess(containerId: string, process: ProcessSpec, sink: OutputSink): Promise<GuestProcess>;
  /** What runs, or has ended and was not released: for a daemon that comes back. */
  listProcesses(): Promise<GuestProcessState[]>;
  /** Takes a listed process over; its output comes again from these offsets (what is stored already). */
  adoptProcess(
    state: GuestProcessState,
    offsets: { readonly stdout: number; readonly stderr: number },
    sink: OutputSink,
  ): Promise<GuestProcess>;
  removeContainer(containerId: string, options: { readonly deleteUpper: boolean }): Promise<void>;
  stats(): Promise<GuestStats>;
  /** What runs in a container, whoever has started it. */
  containerProcesses(containerId: string): Promise<GuestContainerProcess[]>;
  /** Asks the guest to sync, unmount and power off; resolves when it has agreed. */
  shutdown(): Promise<void>;
}

export interface ConnectOptions {
  /** How long the handshake may take, in ms. */
  readonly handshakeTimeoutMs: number;
  /** How long one call may take, in ms (default 60,000). */
  readonly callTimeoutMs?: number;
  /** True on a stream that an earlier daemon used: flush what it may have left half-sent. */
  readonly resync?: boolean;
  readonly signal?: AbortSignal;
}

/** Shakes hands over `stream` and takes ownership of it (destroyed on failure, too). */
export type ConnectAgent = (stream: Duplex, options: ConnectOptions) => Promise<GuestAgent>;
