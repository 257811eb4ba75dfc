import type { Duplex } from 'node:stream';
import type { HostPort, PortForward } from '../networks/port-forward.ts';
import type { HostProcess } from './host-process.ts';
import type { DiskImage, DiskUsage, HypervisorInfo, MachineExit } from './machine.ts';
import type { MachineUser } from './machine-users.ts';

/** Hardware of a virtual machine. A template fits exactly the machines with the same. */
export interface VmHardware {
  readonly vcpus: number;
  readonly ramMib: number;
}

export interface VmRequest {
  /** Empty directory that is this machine's own: sockets, console, logs. */
  readonly directory: string;
  readonly hardware: VmHardware;
  /** Whom its process runs as, who gets the directory; undefined: as the daemon does. */
  readonly user?: MachineUser | undefined;
  /** Set: its memory can be shared with file servers. `elsewhereMib`: what other such machines may come to need. */
  readonly sharedMemory?: { readonly elsewhereMib: number } | undefined;
  /** Device of the host to plug its network card into; undefined: the user-mode network. */
  readonly tap?: string | undefined;
  /** Disk images of users that it may open as they are. Others it has to have in `directory`. */
  readonly diskImages?: readonly string[] | undefined;
  readonly signal?: AbortSignal;
  /** The process is there: told before anything is waited for. */
  readonly onSpawn?: (process: HostProcess) => void;
}

/** A virtual machine without its agent. Made by a driver; whoever made it ends it with `kill`. */
export interface Vm {
  readonly process: HostProcess;
  /** Resolves when its process is gone. Never rejects. Files in its directory are left to the owner. */
  readonly exited: Promise<MachineExit>;
  /** The byte stream to the agent; one at a time. */
  connectAgentPort(): Promise<Duplex>;
  /** `target`: the SCSI target it appears at, 1 to 255. Rejects `machine`; nothing is left plugged then. */
  plugDisk(target: number, disk: DiskImage): Promise<void>;
  unplugDisk(target: number): Promise<void>;
  /** How many file servers it can have. */
  readonly sharePorts: number;
  /** Connects a file server that listens at `socketPath`; the guest knows it as `tag`. `port`: 0 to `sharePorts` - 1, each once. */
  plugShare(port: number, share: { readonly tag: string; readonly socketPath: string }): Promise<void>;
  /** Plugs a further network card into a device of the host. `card`: 1 to `MAX_FURTHER_NETWORKS`. Rejects `machine`. */
  plugCard(card: number, plug: { readonly tap: string; readonly mac: string }): Promise<void>;
  /** Takes it out again, once `letGo` has had the guest let go of it. */
  unplugCard(card: number, letGo: () => Promise<void>): Promise<void>;
  /** The further cards that are plugged. */
  cards(): Promise<readonly number[]>;
  /** Lets a port of the host lead to one of the guest. Rejects `unavailable` where the port cannot be had. */
  forwardPort(forward: PortForward): Promise<void>;
  /** A port that is not forwarded is left as it is. */
  unforwardPort(port: HostPort): Promise<void>;
  /** What is forwarded now. */
  forwardedPorts(): Promise<PortForward[]>;
  /** What has gone through its disks so far, by target: counted outside of the guest. */
  diskUsage(): Promise<ReadonlyMap<number, DiskUsage>>;
  /** It stands still because the host's disk has no room for what it writes; it goes on by itself once there is. */
  readonly waitsForDisk: boolean;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends the process at once. Resolves when it is gone. Repeatable. */
  kill(): Promise<void>;
  /** Last lines of its console, fit for a terminal. */
  consoleTail(): Promise<string>;
  /** Lets go of it: it runs on, for `VmDriver.adopt`. `exited` is never settled then. */
  detach(): void;
}

/**
 * One hypervisor. What it cannot do rejects with `unsupported`; all calls reject with `machine` when the hypervisor fails, with the last
 * lines of the machine's console, and leave no process behind.
 */
export interface VmDriver {
  info(): Promise<HypervisorInfo>;
  /** Everything besides the hardware that a template depends on, as one text. */
  templateKey(): Promise<string>;
  boot(request: VmRequest): Promise<Vm>;
  /** Boots a machine whose memory becomes a template below `template`. */
  bootForTemplate(request: VmRequest, template: string): Promise<Vm>;
  /** Writes the machine's state to `template`, next to its memory, and ends it. Its agent port must be free. */
  saveTemplate(vm: Vm, template: string): Promise<void>;
  restore(request: VmRequest, template: string): Promise<Vm>;
  /** Takes up a machine of an earlier daemon. */
  adopt(process: HostProcess, directory: string, user: MachineUser | undefined): Promise<Vm>;
}
