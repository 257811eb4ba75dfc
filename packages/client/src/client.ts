import { ContainerCalls, type StopOptions } from './container-calls.ts';
import type { DoctorReport } from './doctor-types.ts';
import { type EventOptions, type HyperEvent, readEvents } from './events.ts';
import type { RegistryAuth } from './image-types.ts';
import { Images } from './images.ts';
import { splitFields } from './lists.ts';
import type { MachineSession, RunSession } from './session.ts';
import { type Query, Transport } from './transport.ts';
import type {
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
import type { PodEnd, PodStats } from './usage-types.ts';
import { Volumes } from './volumes.ts';

export interface StopPodOptions extends StopOptions {
  /** The machine waits for another pod then. */
  readonly keepMachine?: boolean;
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

/** All calls: those about containers come from `ContainerCalls`, those about images and volumes have an object of their own. */
export class Client extends ContainerCalls implements Disposable {
  readonly images: Images;
  readonly volumes: Volumes;
  readonly #http: Transport;

  constructor(transport: Transport) {
    super(transport);
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

  /**
   * Creates a pod, joins its first container, and starts it, all in one call that also tells how the container ended. `remove`: the daemon removes the pod when
   * that has happened, before it tells. A missing image is an ApiError of status 404.
   */
  async run(
    spec: PodSpec | object,
    { remove = false, signal }: { readonly remove?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<RunSession> {
    const query = { remove: remove ? 'yes' : undefined };
    const session = await this.#http.hijack('/run', { query, body: spec, framed: true, signal });
    const told = (header: string): string => String(session.headers[header] ?? '');
    return {
      ...session,
      ...{ pod: told('hyper-pod-id'), container: told('hyper-container-id') },
      tty: told('hyper-tty') === 'yes',
    };
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

  /** What happens, as it happens, until the daemon ends or `signal` is aborted. Throws EventsDroppedError when it is read too slowly. */
  events(options: EventOptions = {}): AsyncGenerator<HyperEvent> {
    return readEvents(this.#http, options);
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

  /** The exit code of a command that `execInMachine` ran. */
  waitMachineExec(pod: string, exec: string, signal?: AbortSignal): Promise<number> {
    return this.#http.json('GET', '/exitcode', { query: { pod, exec }, signal });
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
