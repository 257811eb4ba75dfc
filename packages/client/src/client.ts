import type { Readable } from 'node:stream';
import { demultiplex, type OutputChunk, undivided } from './demultiplex.ts';
import type { DoctorReport } from './doctor-types.ts';
import { type EventOptions, type HyperEvent, readEvents } from './events.ts';
import type { RegistryAuth } from './image-types.ts';
import { Images } from './images.ts';
import { splitFields } from './lists.ts';
import type { Session } from './session.ts';
import { type Query, Transport } from './transport.ts';
import type {
  ContainerInfo,
  ContainerSpec,
  ContainerSummary,
  DaemonInfo,
  ListedItems,
  ListOptions,
  MachineSummary,
  NetworkInfo,
  NetworkSpec,
  PodInfo,
  PodServiceAddress,
  PodSpec,
  PodSummary,
  PortMapping,
} from './types.ts';

import type { ContainerProcess, PodEnd, PodStats } from './usage-types.ts';
import { Volumes } from './volumes.ts';

export interface LogOptions {
  /** Whether the container has a terminal, as its info says: its log is not divided then. */
  readonly tty: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly follow?: boolean;
  readonly timestamps?: boolean;
  /** Unix time: seconds, with a fraction. */
  readonly since?: string;
  /** The same; what is followed ends then. */
  readonly until?: string;
  readonly tail?: number;
  readonly signal?: AbortSignal;
}

export interface CommitOptions {
  /** `REPOSITORY[:TAG]`; the image has no name otherwise. */
  readonly reference?: string;
  readonly author?: string | undefined;
  readonly message?: string | undefined;
  /** Dockerfile instructions for the image's configuration. */
  readonly changes?: readonly string[];
  /** The container stands still meanwhile. */
  readonly pause?: boolean;
}

export interface StopOptions {
  /** Whole seconds between stop signal and SIGKILL (default 5); 0: SIGKILL at once. */
  readonly timeoutSeconds?: number | undefined;
}

export interface StopPodOptions extends StopOptions {
  /** The machine waits for another pod then. */
  readonly keepMachine?: boolean;
}

/** A process in a machine, whose exit code can be asked for. */
export interface MachineSession extends Session {
  readonly exec: string;
}

/** A process in a container, with the ids to ask for its exit code. */
export interface ExecSession extends MachineSession {
  readonly container: string;
}

export interface ClientSettings {
  /** Directory of `ca.pem`, `cert.pem` and `key.pem` for `tls://` (default: `HYPER_TLS_DIR`, else `~/.config/hyper/tls`). */
  readonly tlsDirectory?: string | undefined;
}

/**
 * A client of one daemon: `unix:///PATH`, `tcp://ADDRESS:PORT` or `tls://ADDRESS:PORT`. Every call rejects with ApiError (the daemon's status and
 * text) or ConnectionError. Dispose of it when done.
 */
export function createClient(hostUrl: string, { tlsDirectory }: ClientSettings = {}): Client {
  return new Client(new Transport(hostUrl, tlsDirectory));
}

export class Client implements Disposable {
  readonly images: Images;
  readonly volumes: Volumes;
  readonly #http: Transport;

  constructor(transport: Transport) {
    this.images = new Images(transport);
    this.volumes = new Volumes(transport);
    this.#http = transport;
  }

  async ping(): Promise<void> {
    await this.#http.done('GET', '/_ping');
  }

  info(): Promise<DaemonInfo> {
    return this.#http.json('GET', '/info');
  }

  /** Looks for what is out of joint on the host; `mend`: and mends it. `verify`: reads every byte of every image. */
  doctor(options: { readonly verify?: boolean; readonly mend?: boolean } = {}): Promise<DoctorReport> {
    const query = { verify: options.verify ? 'yes' : undefined };
    return options.mend
      ? this.#http.json('POST', '/doctor/repair', { query })
      : this.#http.json('GET', '/doctor', { query });
  }

  async version(): Promise<string> {
    return (await this.#http.json<{ Version: string }>('GET', '/version')).Version;
  }

  async pods(filter: { readonly pod?: string; readonly machine?: string } = {}): Promise<PodSummary[]> {
    const { podData } = await this.#list<{ podData: string[] }>('pod', filter);
    return podData.map((text) => {
      const [id = '', name = '', machine = '', status = ''] = splitFields(text, 4);
      return { id, name, machine, status };
    });
  }

  async containers(
    filter: { readonly pod?: string; readonly machine?: string } = {},
  ): Promise<ContainerSummary[]> {
    const { cData } = await this.#list<{ cData: string[] }>('container', filter);
    return cData.map((text) => {
      const [id = '', name = '', pod = '', status = ''] = splitFields(text, 4);
      return { id, name, pod, status };
    });
  }

  async machines(
    filter: { readonly pod?: string; readonly machine?: string } = {},
  ): Promise<MachineSummary[]> {
    const { vmData } = await this.#list<{ vmData: string[] }>('vm', filter);
    return vmData.map((text) => {
      const [id = '', pod = '', status = ''] = splitFields(text, 3);
      return { id, pod, status };
    });
  }

  /** Pods, containers or machines as objects, with labels and more than `pods`, `containers` and `machines` tell. */
  listed<T extends keyof ListedItems>(
    item: T,
    options: ListOptions = {},
  ): Promise<readonly ListedItems[T][]> {
    const { pod, machine, filters } = options;
    const query = { item, pod, vm: machine, filters: filters && JSON.stringify(filters) };
    return this.#http.json('GET', '/list/json', { query });
  }

  /** Starts a machine that waits for a pod; resolves with its id. */
  async createMachine(
    shape: { readonly vcpus?: number | undefined; readonly memoryMib?: number | undefined } = {},
  ): Promise<string> {
    const query = { cpu: shape.vcpus, mem: shape.memoryMib };
    return (await this.#http.json<{ ID: string }>('POST', '/vm/create', { query })).ID;
  }

  /** Ends a machine, and its pod where it has one; one that is not there is no error. */
  removeMachine(machine: string): Promise<void> {
    return this.#http.done('DELETE', '/vm', { query: { vm: machine } });
  }

  /** Resolves with the pod's id. A missing image is an ApiError of status 404. */
  async createPod(spec: PodSpec | object): Promise<string> {
    return (await this.#http.json<{ ID: string }>('POST', '/pod/create', { body: spec })).ID;
  }

  podInfo(pod: string): Promise<PodInfo> {
    return this.#http.json('GET', '/pod/info', { query: { podName: pod } });
  }

  /** `machine`: one that waits for a pod, instead of a new one. */
  startPod(pod: string, { machine }: { readonly machine?: string | undefined } = {}): Promise<void> {
    return this.#http.done('POST', '/pod/start', { query: { podId: pod, vmId: machine } });
  }

  stopPod(pod: string, { keepMachine = false, timeoutSeconds }: StopPodOptions = {}): Promise<void> {
    const query = { podId: pod, stopVm: keepMachine ? 'no' : 'yes', timeout: timeoutSeconds };
    return this.#http.done('POST', '/pod/stop', { query });
  }

  killPod(pod: string, signal: string | number, container?: string): Promise<void> {
    return this.#http.done('POST', '/pod/kill', { query: { podName: pod, signal, container } });
  }

  pausePod(pod: string): Promise<void> {
    return this.#http.done('POST', '/pod/pause', { query: { podId: pod } });
  }

  unpausePod(pod: string): Promise<void> {
    return this.#http.done('POST', '/pod/unpause', { query: { podId: pod } });
  }

  removePod(pod: string): Promise<void> {
    return this.#http.done('DELETE', '/pod', { query: { podId: pod } });
  }

  setLabels(pod: string, labels: Readonly<Record<string, string>>, override = false): Promise<void> {
    const query = { podId: pod, labels: JSON.stringify(labels), override: override ? 'yes' : undefined };
    return this.#http.done('POST', '/pod/labels', { query });
  }

  /** The published ports of a pod; those that were added last come first. */
  async portMappings(pod: string): Promise<PortMapping[]> {
    const path = portsPath(pod);
    return (await this.#http.json<{ portMappings: PortMapping[] }>('GET', path)).portMappings;
  }

  /** Publishes more ports of a running pod: all, or none. */
  addPortMappings(pod: string, mappings: readonly PortMapping[]): Promise<void> {
    return this.#http.done('PUT', `${portsPath(pod)}/add`, { body: mappings });
  }

  /** Takes back every published port whose protocol and container port are those of one of `mappings`. */
  deletePortMappings(pod: string, mappings: readonly PortMapping[]): Promise<void> {
    return this.#http.done('PUT', `${portsPath(pod)}/delete`, { body: mappings });
  }

  /** Creates a bridged network; needs a daemon that runs as root. */
  createNetwork(spec: NetworkSpec): Promise<void> {
    return this.#http.done('POST', '/network/create', { body: spec });
  }

  async networks(): Promise<NetworkInfo[]> {
    return (await this.#http.json<{ networks: NetworkInfo[] }>('GET', '/network/list')).networks;
  }

  network(name: string): Promise<NetworkInfo> {
    return this.#http.json('GET', '/network/info', { query: { name } });
  }

  /** Removes a network that no pod is on. */
  removeNetwork(name: string): Promise<void> {
    return this.#http.done('DELETE', '/network', { query: { name } });
  }

  /** Puts a pod on one more network; `address`: one on it (default: one that is free). */
  connectNetwork(
    network: string,
    pod: string,
    { address = '' }: { readonly address?: string } = {},
  ): Promise<void> {
    const query = { name: network, podId: pod, ...(address && { ip: address }) };
    return this.#http.done('POST', '/network/connect', { query });
  }

  disconnectNetwork(network: string, pod: string): Promise<void> {
    return this.#http.done('POST', '/network/disconnect', { query: { name: network, podId: pod } });
  }

  /** The balanced addresses of a pod. */
  async services(pod: string): Promise<PodServiceAddress[]> {
    const query = { podId: pod };
    return (await this.#http.json<PodServiceAddress[] | null>('GET', '/service/list', { query })) ?? [];
  }

  /** Adds services to a pod; one that is there already is refused. */
  addServices(pod: string, services: readonly PodServiceAddress[]): Promise<void> {
    return this.#http.done('POST', '/service/add', servicesQuery(pod, services));
  }

  /** Has the pod balance these and no others. */
  updateServices(pod: string, services: readonly PodServiceAddress[]): Promise<void> {
    return this.#http.done('POST', '/service/update', servicesQuery(pod, services));
  }

  /** Removes the services with the same addresses, ports and protocols. */
  deleteServices(pod: string, services: readonly PodServiceAddress[]): Promise<void> {
    return this.#http.done('DELETE', '/service', servicesQuery(pod, services));
  }

  /** Resolves with the container's id. */
  async createContainer(pod: string, spec: ContainerSpec | object): Promise<string> {
    const options = { query: { podId: pod }, body: spec };
    return (await this.#http.json<{ ID: string }>('POST', '/container/create', options)).ID;
  }

  containerInfo(container: string): Promise<ContainerInfo> {
    return this.#http.json('GET', '/container/info', { query: { container } });
  }

  startContainer(container: string): Promise<void> {
    return this.#http.done('POST', '/container/start', { query: { container } });
  }

  stopContainer(container: string, options: StopOptions = {}): Promise<void> {
    const query = { container, timeout: options.timeoutSeconds };
    return this.#http.done('POST', '/container/stop', { query });
  }

  killContainer(container: string, signal: string | number): Promise<void> {
    return this.#http.done('POST', '/container/kill', { query: { container, signal } });
  }

  removeContainer(container: string): Promise<void> {
    return this.#http.done('POST', '/container/remove', { query: { container } });
  }

  renameContainer(container: string, name: string): Promise<void> {
    return this.#http.done('POST', '/container/rename', { query: { oldName: container, newName: name } });
  }

  /** What happens, as it happens, until the daemon ends or `signal` is aborted. Throws EventsDroppedError when it is read too slowly. */
  events(options: EventOptions = {}): AsyncGenerator<HyperEvent> {
    return readEvents(this.#http, options);
  }

  /** Waits for the container to end; resolves with its exit code. */
  wait(container: string, signal?: AbortSignal): Promise<number> {
    return this.#http.json('GET', '/exitcode', { query: { container }, signal });
  }

  /** Waits until a pod does not run, nor waits for a restart; with `next` until its next end. */
  waitPod(
    pod: string,
    { next = false, signal }: { readonly next?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<PodEnd> {
    const query = { podId: pod, condition: next ? 'next-exit' : undefined };
    return this.#http.json('GET', '/pod/wait', { query, signal });
  }

  /** What a running pod has used so far. */
  stats(pod: string): Promise<PodStats> {
    return this.#http.json('GET', '/pod/stats', { query: { podId: pod } });
  }

  /** What runs in a container, whoever has started it. */
  async processes(container: string): Promise<readonly ContainerProcess[]> {
    const answer = await this.#http.json<{ processes: ContainerProcess[] }>('GET', '/container/top', {
      query: { container },
    });
    return answer.processes;
  }

  /** Unpacks a tar below a directory of a container, which is created where it is missing. The container need not run, its pod does. */
  copyIn(container: string, directory: string, tar: Readable, signal?: AbortSignal): Promise<void> {
    const headers = { 'Content-Type': 'application/x-tar' };
    const query = { container, path: directory };
    return this.#http.done('PUT', '/container/archive', { query, headers, body: tar, signal });
  }

  /** A tar of a file or directory of a container, named by the last part of its path; to be read to its end, or destroyed. It fails where the daemon breaks off. */
  copyOut(container: string, path: string, signal?: AbortSignal): Promise<Readable> {
    return this.#http.send('GET', '/container/archive', { query: { container, path }, signal });
  }

  waitExec(container: string, exec: string, signal?: AbortSignal): Promise<number> {
    return this.#http.json('GET', '/exitcode', { query: { container, exec }, signal });
  }

  /** The exit code of a command that `execInMachine` ran. */
  waitMachineExec(pod: string, exec: string, signal?: AbortSignal): Promise<number> {
    return this.#http.json('GET', '/exitcode', { query: { pod, exec }, signal });
  }

  async *logs(container: string, options: LogOptions): AsyncGenerator<OutputChunk> {
    const {
      tty,
      stdout = true,
      stderr = true,
      follow = false,
      timestamps = false,
      since,
      until,
      tail,
    } = options;
    const query = { container, stdout, stderr, follow, timestamps, since, until, tail };
    const response = await this.#http.send('GET', '/container/logs', { query, signal: options.signal });
    yield* tty ? undivided(response) : demultiplex(response);
  }

  /** `tty`: whether the container has a terminal, as its info says. */
  attach(
    container: string,
    options: { readonly tty: boolean; readonly signal?: AbortSignal },
  ): Promise<Session> {
    const { tty, signal } = options;
    return this.#http.hijack('/attach', { query: { container }, framed: !tty, signal });
  }

  /** Resolves with the exec's id, for `startExec`. */
  createExec(
    container: string,
    command: readonly string[],
    options: { readonly tty?: boolean } = {},
  ): Promise<string> {
    const query = { container, command: JSON.stringify(command), tty: options.tty ? 'true' : undefined };
    return this.#http.json('POST', '/exec/create', { query });
  }

  /** Creates and starts an exec in one call. */
  async exec(
    container: string,
    command: readonly string[],
    options: { readonly tty?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<ExecSession> {
    const { tty = false, signal } = options;
    const query = { container, command: JSON.stringify(command), tty: tty ? 'true' : undefined };
    const session = await this.#http.hijack('/exec/start', { query, framed: !tty, signal });
    const id = (header: string): string => String(session.headers[header] ?? '');
    return { ...session, container: id('hyper-container-id'), exec: id('hyper-exec-id') };
  }

  startExec(
    container: string,
    exec: string,
    options: { readonly tty: boolean; readonly signal?: AbortSignal },
  ): Promise<Session> {
    const { tty, signal } = options;
    return this.#http.hijack('/exec/start', { query: { container, exec }, framed: !tty, signal });
  }

  /** Runs a command in the guest, outside of all containers. Its output is not divided. */
  async execInMachine(
    pod: string,
    command: readonly string[],
    signal?: AbortSignal,
  ): Promise<MachineSession> {
    const query = { pod, command: JSON.stringify(command) };
    const session = await this.#http.hijack('/execvm', { query, framed: false, signal });
    return { ...session, exec: String(session.headers['hyper-exec-id'] ?? '') };
  }

  resizeTty(
    container: string,
    size: { readonly rows: number; readonly columns: number },
    exec?: string,
  ): Promise<void> {
    return this.#http.done('POST', '/tty/resize', {
      query: { container, exec, h: size.rows, w: size.columns },
    });
  }

  /** Makes an image of what a container has changed; resolves with its id. */
  async commit(container: string, options: CommitOptions = {}): Promise<string> {
    const { reference = '', author, message, changes = [], pause } = options;
    const colon = reference.lastIndexOf(':');
    const hasTag = colon > reference.lastIndexOf('/');
    const query = {
      ...{ container, author, comment: message, pause: pause ? 'yes' : undefined },
      ...{
        repo: hasTag ? reference.slice(0, colon) : reference,
        tag: hasTag ? reference.slice(colon + 1) : '',
      },
      changes: changes.length > 0 ? JSON.stringify(changes) : undefined,
    };
    return (await this.#http.json<{ ID: string }>('POST', '/container/commit', { query })).ID;
  }

  /** Asks a registry whether it takes the credentials. Resolves with its words; rejects with ApiError of status 401. */
  async login(auth: RegistryAuth, signal?: AbortSignal): Promise<string> {
    return (await this.#http.json<{ Status: string }>('POST', '/auth', { body: auth, signal })).Status;
  }

  [Symbol.dispose](): void {
    this.#http.close();
  }

  #list<T>(item: string, filter: { readonly pod?: string; readonly machine?: string }): Promise<T> {
    return this.#http.json('GET', '/list', { query: { item, pod: filter.pod, vm: filter.machine } });
  }
}

function portsPath(pod: string): string {
  return `/pod/${encodeURIComponent(pod)}/portmappings`;
}

function servicesQuery(pod: string, services: readonly PodServiceAddress[]): { readonly query: Query } {
  return { query: { podId: pod, services: JSON.stringify(services) } };
}
