import type { DiskUse, GuestAgent, GuestIdentity, GuestNetwork, GuestService } from '../guest/index.ts';
import type { MachineId, PodId } from '../ids.ts';
import type { HostPort, PortForward } from '../networks/port-forward.ts';
import type { Ailment } from '../upkeep/index.ts';

/** What a pod asks of its machine. Templates are made and kept per shape. */
export interface MachineShape {
  readonly vcpus: number;
  /** What the pod's containers may use; the guest's own need is added by the machine service. */
  readonly memoryMib: number;
}

/** Why a machine is no more: asked for (`stopped`), by the guest itself (`poweroff`), or without being asked (`died`). */
export type MachineExit =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'poweroff' }
  | { readonly kind: 'died'; readonly message: string; readonly consoleTail: string };

/** A disk image file of the host for a machine. */
export interface DiskImage {
  readonly path: string;
  /** `vmdk`: a text descriptor of flat extents, paths in it relative to it. */
  readonly format: 'raw' | 'vmdk' | 'qcow2' | 'vdi';
  readonly readOnly: boolean;
  /** How the host caches it; absent: write back. */
  readonly cache?: DiskCache;
}

/** QEMU's names: with or without the host's page cache, with writes that are on the disk at once, or never flushed. */
export type DiskCache = 'off' | 'none' | 'directsync' | 'writeback' | 'writethrough' | 'unsafe';

/** A directory or file of the host for a machine: absolute, free of symbolic links. */
export interface SharedPath {
  readonly path: string;
  /** Held to on the host, whatever the guest does. */
  readonly readOnly: boolean;
}

/** What the guest is to make of a disk. */
export interface DiskUseOptions {
  readonly use: DiskUse;
  readonly name: string;
  readonly fileSystem?: string;
}

/** What has gone through a disk since it was plugged. Times in ns. */
export interface DiskUsage {
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
  readonly flushes: number;
  readonly readNs: number;
  readonly writeNs: number;
  readonly mergedReads: number;
  readonly mergedWrites: number;
}

/** A disk of a machine: `target` is its SCSI target in the guest. */
export interface MachineDisk extends DiskUsage {
  readonly name: string;
  readonly target: number;
}

/**
 * A running virtual machine with its agent connected and its identity set. Made by `MachineService.acquire` or `adopt`.
 * It outlives the daemon: `detach` lets go of it, `stop` ends it.
 */
export interface Machine {
  readonly id: MachineId;
  readonly shape: MachineShape;
  readonly owner: PodId | undefined;
  /** Undefined for one that an earlier daemon left. */
  readonly source: MachineSource | undefined;
  /** What it was prepared for when it waited in the pool: see `Outfitter`. */
  readonly outfit: string | undefined;
  readonly agent: GuestAgent;
  /** Resolves when the machine is gone and nothing of it is left on the host. Never rejects. */
  readonly exited: Promise<MachineExit>;
  /** Plugs a disk, waits until the guest has mounted it. Returns nothing; the guest knows it as `name`. */
  attachDisk(disk: DiskImage, as: DiskUseOptions): Promise<void>;
  detachDisk(name: string): Promise<void>;
  /**
   * Serves directories and files of the host until the machine ends: in the guest they are `0`, `1`, ... of the share whose name it resolves with. The
   * machine needs shared memory. When the file server ends, so does the machine. Rejects `limit`, `precondition`, `machine`.
   */
  attachShare(paths: readonly SharedPath[]): Promise<string>;
  /** The shares it has, with their paths, also those of an earlier daemon. */
  readonly shares: readonly { readonly name: string; readonly paths: readonly SharedPath[] }[];
  /** Plugs a further network card, 1 to `MAX_FURTHER_NETWORKS`, and has the guest configure it. Nothing is left of one that fails. */
  plugCard(card: number, network: MachineNetwork): Promise<void>;
  /** Has the guest configure a card that is plugged. Repeatable. */
  configureCard(network: GuestNetwork): Promise<void>;
  unplugCard(card: number, mac: string): Promise<void>;
  /** The further cards that are plugged. */
  cards(): Promise<readonly number[]>;
  /** See `Vm`. */
  forwardPort(forward: PortForward): Promise<void>;
  unforwardPort(port: HostPort): Promise<void>;
  forwardedPorts(): Promise<PortForward[]>;
  diskUsage(): Promise<MachineDisk[]>;
  /** Balances connections from inside to these addresses over their backends, and to no others. */
  setServices(services: readonly GuestService[]): Promise<void>;
  /** Whether a disk of that name is plugged, also by an earlier daemon. */
  hasDisk(name: string): boolean;
  diskNames(): readonly string[];
  /** Records whose machine it is; undefined: nobody's, it waits for a pod. */
  setOwner(owner: PodId | undefined): void;
  pause(): Promise<void>;
  /** Sets the guest's clock before anything of the guest runs on. */
  resume(): Promise<void>;
  /** Last lines of the guest's console, made safe for a terminal. */
  consoleTail(): Promise<string>;
  /**
   * Ends the machine: asks the guest to power off for up to `graceMs` (0: no asking), then kills it. Repeatable.
   * Resolves when process, sockets, files and record are gone.
   */
  stop(options?: { readonly graceMs?: number }): Promise<void>;
}

/** Where a machine came from: it waited in the pool, was cloned from its template, or booted. */
export type MachineSource = 'pool' | 'clone' | 'boot';

/** What a machine is told of itself before it is its owner's. */
export type MachineIdentity = Omit<GuestIdentity, 'network'>;

/** A network that a machine is to be on. */
export interface MachineNetwork {
  /** Device of the host that its network card is plugged into. Whoever has made it removes it, after the machine. */
  readonly tap: string;
  readonly guest: GuestNetwork;
}

export interface AcquireRequest {
  readonly shape: MachineShape;
  /** Recorded with the machine before anything is spawned, so that a crash leaves no orphan; undefined: it waits for a pod. */
  readonly owner: PodId | undefined;
  readonly identity: MachineIdentity;
  /** What it would best be prepared for: the id of an image. `Machine.outfit` tells whether it is. */
  readonly outfit?: string | undefined;
  /** Its memory can be shared with file servers of the host: costs a copy of the template's. */
  readonly sharesMemory?: boolean;
  /** Undefined: the user-mode network. */
  readonly network?: MachineNetwork | undefined;
  /** Disk images of users that it is to be given: its process reaches others of the file system that the daemon's root is on, and of the daemon's user, only. */
  readonly diskImages?: readonly string[];
  readonly signal?: AbortSignal;
  /** Told at once, before anything is spawned. */
  readonly onId?: (id: MachineId) => void;
}

/** Prepares machines of the pool for one use, such as an image: plugs its disks, and rehearses with them. */
export interface Outfitter {
  /** `directory`: the machine's own, removed with it. Rejects where it cannot be done; the machine is ended then. */
  dress(machine: Machine, outfit: string, directory: string): Promise<void>;
}

/** How machines have come to be since the daemon began, and what waits for a pod. */
export interface MachinesUsage {
  readonly starts: Readonly<Record<MachineSource, number>>;
  /** Of the starts from the pool, those of machines that were prepared for their image. */
  readonly outfitted: number;
  /** Clones that failed, and were booted instead. */
  readonly failedClones: number;
  readonly lastCloneFailure: string | undefined;
  /** Undefined where the pool is off. */
  readonly pool: PoolUsage | undefined;
}

export interface PoolUsage {
  /** How many may wait at most. */
  readonly max: number;
  /** How many would wait if all were made. */
  readonly wanted: number;
  readonly waiting: readonly { readonly shape: MachineShape; readonly outfit: string | undefined }[];
  readonly isMaking: boolean;
  /** Why the last machine could not be made, until one is. */
  readonly failure: string | undefined;
}

export interface MachineSummary {
  readonly id: MachineId;
  readonly owner: PodId | undefined;
}

export interface HypervisorInfo {
  /** `qemu` */
  readonly driver: string;
  readonly version: string;
  /** `kvm` or `tcg`, and why. */
  readonly accelerator: string;
  readonly acceleratorReason: string;
}

/** Something that keeps the processes of machines from the host, where it can be had. */
export interface ConfinementMeasure {
  readonly name: string;
  /** How it is. */
  readonly told: string;
  /** Why it could not be had. */
  readonly hindrance: string | undefined;
}

/** Hands out machines: the one place that pods get them from. */
export interface MachineService extends AsyncDisposable {
  /** A machine of the pool, where one fits, or one cloned from the template of its shape (which is made when missing). Rejects: `machine`, `timeout`, `canceled`. */
  acquire(request: AcquireRequest): Promise<Machine>;
  /**
   * At daemon start: connects to every recorded machine that still runs, ends the half-made ones, and clears away whatever dead
   * ones left. Resolves with the living. From then on machines are made for the pool.
   */
  adoptAll(): Promise<Machine[]>;
  list(): MachineSummary[];
  /** What of machines and templates is out of joint on the host. */
  examine(): Promise<Ailment[]>;
  /** Throws `invalid-spec` with what is allowed where this host cannot have such a machine. `place`: names of the two values. */
  checkShape(shape: MachineShape, place: { readonly vcpus: string; readonly memory: string }): void;
  info(): Promise<HypervisorInfo>;
  usage(): MachinesUsage;
  /** Whether a machine of the pool waits that is prepared for what is asked. */
  hasOutfitted(
    request: Pick<AcquireRequest, 'shape' | 'outfit' | 'sharesMemory' | 'network' | 'diskImages'>,
  ): boolean;
  /** Ends the pool's machines with this outfit: what they hold is needed elsewhere, or is to go. */
  drain(outfit: string): Promise<void>;
  /** Builds the template of `shape` now, if it is missing. */
  prepare(shape: MachineShape, signal?: AbortSignal): Promise<void>;
}
