import type { Readable } from 'node:stream';
import { demultiplex, type OutputChunk, undivided } from './demultiplex.ts';
import type { ExecSession, Session } from './session.ts';
import type { Transport } from './transport.ts';
import type { ContainerInfo, ContainerSpec } from './types.ts';
import type { ContainerProcess } from './usage-types.ts';

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

/** The calls about one container and what runs in it. Part of `Client`. */
export class ContainerCalls {
  readonly #http: Transport;

  constructor(transport: Transport) {
    this.#http = transport;
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

  /** Waits for the container to end; resolves with its exit code. */
  wait(container: string, signal?: AbortSignal): Promise<number> {
    return this.#http.json('GET', '/exitcode', { query: { container }, signal });
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

  /** Creates and starts an exec in one call, which tells its end as well. */
  async exec(
    container: string,
    command: readonly string[],
    options: { readonly tty?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<ExecSession> {
    const { tty = false, signal } = options;
    const query = { container, command: JSON.stringify(command), tty: tty ? 'true' : undefined, end: 'yes' };
    const session = await this.#http.hijack('/exec/start', { query, framed: true, signal });
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
}
