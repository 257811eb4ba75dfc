import type { GuestContainerProcess, GuestStats, OutputStream } from '../guest/index.ts';
import type { ContainerId, Digest, ExecId, MachineId, PodId } from '../ids.ts';
import type { MachineDisk, MachineShape } from '../machines/machine.ts';
import type { Ailment } from '../upkeep/index.ts';
import type { ServiceChange } from './balancing.ts';
import type { CommitOptions } from './commit.ts';
import type { ContainerState, PodState } from './lifecycle.ts';
import type { ConnectRequest } from './pod-network.ts';
import type { ContainerSpec, PodSpec, PortMapping, ServiceSpec } from './spec/pod-spec.ts';
import type { PortSelector } from './spec/port-mapping.ts';
import type { StartTrace } from './start-trace.ts';

export interface PodView {
  readonly id: PodId;
  readonly spec: PodSpec;
  readonly state: PodState;
  readonly machineId: MachineId | undefined;
  readonly createdAt: Date;
  /** Addresses with prefix length, while it has a machine. */
  readonly addresses: readonly string[];
  readonly containers: readonly ContainerView[];
  /** Of its last start; undefined where this daemon has not started it. */
  readonly startTrace: StartTrace | undefined;
}

export interface ContainerView {
  readonly id: ContainerId;
  readonly podId: PodId;
  readonly name: string;
  readonly spec: ContainerSpec;
  readonly imageId: Digest;
  readonly state: ContainerState;
  readonly createdAt: Date;
  readonly tty: boolean;
  /** What its init runs: entrypoint and command of image and specification put together. */
  readonly args: readonly string[];
  /** `KEY=value`, image and specification put together. */
  readonly env: readonly string[];
  readonly workingDir: string;
  /** Where it has volumes that its image asks for and its specification does not mention. */
  readonly imageVolumes: readonly string[];
}

/** What a pod has used so far: as its guest counts it, and its disks as the hypervisor does. */
export interface PodUsage {
  readonly guest: GuestStats;
  readonly disks: readonly MachineDisk[];
}

/** A pod whose containers have ended, or that has not been started. */
export interface PodEnd extends PodView {
  /** That of the first container that failed; 125 where the pod could not be started. */
  readonly exitCode: number;
}

/** The client's end of an attach or exec session. */
export interface ClientStreams {
  /** What the client types; ends when it half-closes. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Resolves when the client's connection can take more. */
  write(stream: OutputStream, chunk: Uint8Array): Promise<void>;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

export interface StopOptions {
  /** The machine lives on, and waits for another pod. */
  readonly keepMachine?: boolean;
  /** Time between stop signal and SIGKILL, in ms (default 5000); 0: SIGKILL at once. */
  readonly graceMs?: number;
}

export interface LogOptions {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly since?: Date;
  readonly until?: Date;
  /** Last lines only; undefined: all. */
  readonly tail?: number;
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

export interface LogLine {
  readonly stream: OutputStream;
  /** RFC 3339 with nine digits of the second, UTC. */
  readonly time: string;
  /** Ends in a line feed, but for the part of a very long line. */
  readonly bytes: Uint8Array;
}

/**
 * Pods and their containers. `container` arguments are a name, an id, or an id's unique prefix; an empty one is the
 * only container of the daemon. Calls reject with HyperError: `not-found` (with the original's text for the call),
 * `invalid-spec`, `conflict`, `precondition`, `machine`, `limit`, `timeout`, `canceled`.
 */
export interface PodService extends AsyncDisposable {
  /** Records the pod, its containers pending. A missing image is `not-found`; nothing is left behind on any error. */
  create(spec: PodSpec): Promise<PodId>;
  /** Gives the pod a machine where it has none (`machine`: an idle one) and starts all containers that are not running. */
  start(pod: string, options?: { readonly machine?: string }): Promise<void>;
  /**
   * Stop signal, grace period, SIGKILL, then the machine ends, or with `keepMachine` waits for another pod. A pod that is not running is
   * left as it is.
   */
  stop(pod: string, options?: StopOptions): Promise<void>;
  /** Signals one container, or all running ones; signal 9 without a container ends the machine at once. */
  kill(pod: string, options: { readonly container?: string; readonly signal: number }): Promise<void>;
  pause(pod: string): Promise<void>;
  unpause(pod: string): Promise<void>;
  /** Ends it if it runs, and removes everything of it. */
  remove(pod: string): Promise<void>;
  /** What of pods is out of joint on the host. */
  examine(): Promise<Ailment[]>;
  list(): PodView[];
  /** By exact id. */
  pod(pod: string): PodView;
  setLabels(pod: string, labels: Readonly<Record<string, string>>, override: boolean): void;

  /** Its published ports; those that were added last come first. */
  portMappings(pod: string): readonly PortMapping[];
  /** Publishes more ports of a running pod: all, or none. */
  addPortMappings(pod: string, mappings: readonly PortMapping[]): Promise<void>;
  /** Takes published ports back; what names none is no error. */
  deletePortMappings(pod: string, selectors: readonly PortSelector[]): Promise<void>;
  /** Puts a pod on one more network, while it runs or for its next start. */
  connectNetwork(pod: string, request: ConnectRequest): Promise<void>;
  /** Takes it off again. Rejects `not-found` where it is not on it, `precondition` for the network that it was created on. */
  disconnectNetwork(pod: string, network: string): Promise<void>;
  services(pod: string): readonly ServiceSpec[];
  /** Changes the services of a pod. Rejects `conflict` where one to add is there, `unsupported` where it would then have any. */
  changeServices(pod: string, change: ServiceChange, services: readonly ServiceSpec[]): Promise<void>;

  container(container: string): ContainerView;
  /** Adds a pending container to a pod. */
  addContainer(pod: string, spec: ContainerSpec): Promise<ContainerId>;
  startContainer(container: string): Promise<void>;
  stopContainer(container: string, options?: { readonly graceMs?: number }): Promise<void>;
  killContainer(container: string, signal: number): Promise<void>;
  removeContainer(container: string): Promise<void>;
  renameContainer(container: string, name: string): void;
  /** The exit code, once the container is not running; at once 0 for one that never started. */
  wait(container: string, signal: AbortSignal): Promise<number>;
  /**
   * Resolves once the pod does not run, nor waits to be started again: at once where that is so already, unless its `next` end is wanted. One that is removed has
   * ended.
   */
  waitPod(pod: string, options: { readonly next: boolean; readonly signal: AbortSignal }): Promise<PodEnd>;
  /** Resolves when the container has ended and all output is written, or the client has detached or gone. */
  attach(container: string, client: ClientStreams): Promise<void>;
  logs(container: string, options: LogOptions): AsyncIterable<LogLine>;

  createExec(
    container: string,
    options: { readonly command: readonly string[]; readonly tty: boolean },
  ): ExecId;
  /** Whether the exec has a terminal: its output is not framed then. */
  execHasTty(container: string, exec: string): boolean;
  startExec(container: string, exec: string, client: ClientStreams): Promise<void>;
  waitExec(container: string, exec: string, signal: AbortSignal): Promise<number>;
  /** Signals an exec's process; one that is about to start is waited for. Rejects `precondition` where it does not run. */
  signalExec(container: string, exec: string, signal: number): Promise<void>;
  /** Runs a command in the guest, outside of all containers; resolves with its exit code. */
  execInMachine(pod: string, command: readonly string[], client: ClientStreams): Promise<number>;
  /** `exec` undefined: the container's init. */
  resizeTty(
    container: string,
    exec: string | undefined,
    size: { readonly rows: number; readonly columns: number },
  ): Promise<void>;

  /** A machine that waits for a pod. */
  createMachine(shape: MachineShape): Promise<MachineId>;
  /** Ends a machine, and its pod where it has one. False: there is none of that id. */
  removeMachine(machine: string): Promise<boolean>;
  /** What a running pod has used so far. Rejects `precondition` where it does not run. */
  stats(pod: string): Promise<PodUsage>;
  /** What runs in a container. Rejects `precondition` where it does not run. */
  processes(container: string): Promise<readonly GuestContainerProcess[]>;
  /** Unpacks a tar below a directory of a container, which is created where it is missing; the pod has to run, the container need not. */
  extract(container: string, directory: string, tar: AsyncIterable<Uint8Array>): Promise<void>;
  /** Packs a file or directory of a container as a tar, named by its last part, which `take` reads. */
  archive(
    container: string,
    path: string,
    take: (tar: AsyncIterable<Buffer>) => Promise<void>,
  ): Promise<void>;

  /**
   * Makes an image of what a container has changed, whether it runs or not. Resolves with the image's id. Rejects `not-found` (`No such container: X`),
   * `invalid-argument` for changes that are none.
   */
  commit(container: string, options: CommitOptions): Promise<Digest>;

  /** Pods, running or not, that use a named volume. */
  podsOfVolume(volume: string): readonly PodId[];
  /** Containers that were made from an image, for `ImageService.remove`. */
  containersOfImage(image: Digest): readonly ContainerId[];
}
