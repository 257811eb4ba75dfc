import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BuildService } from '../build/service.ts';
import { Events } from '../events/index.ts';
import type { ImageService } from '../images/image-service.ts';
import type { MachineService } from '../machines/machine.ts';
import type { Networks } from '../networks/networks.ts';
import type { ContainerView, PodService, PodView } from '../pods/pod-service.ts';
import { parsePodSpec } from '../pods/spec/index.ts';
import type { NamedVolumes } from '../volumes/index.ts';
import { createApi } from './index.ts';

/** For the tests of the transport only: services that have just the members a test gives them. */
function only<T extends object>(what: string, members: Partial<T>): T {
  return new Proxy(members as T, {
    get(target, name, receiver) {
      if (name in target) return Reflect.get(target, name, receiver);
      throw new Error(`the test gave ${what} no "${String(name)}"`);
    },
  });
}

export interface TestApi extends AsyncDisposable {
  readonly socket: string;
  /** Sends bytes, and resolves with all that comes back until the server closes. */
  exchange(request: string): Promise<string>;
  /** A connection of one's own. */
  connect(): Socket;
  close(): Promise<void>;
  readonly logged: string[];
}

export interface Fakes {
  readonly pods?: Partial<PodService>;
  readonly images?: Partial<ImageService>;
  readonly builds?: Partial<BuildService>;
  readonly machines?: Partial<MachineService>;
  readonly volumes?: Partial<NamedVolumes>;
  readonly events?: Events;
}

/** The real API on a unix socket, before services that a test gives. */
export async function startApi(fakes: Fakes): Promise<TestApi> {
  const directory = mkdtempSync(join(tmpdir(), 'api-'));
  const socket = join(directory, 'hyper.sock');
  const logged: string[] = [];
  const log = (_fields: object, message: string): void => void logged.push(message);
  const api = createApi({
    pods: only('PodService', fakes.pods ?? {}),
    images: only('ImageService', fakes.images ?? {}),
    builds: only('BuildService', fakes.builds ?? {}),
    volumes: { named: only('NamedVolumes', fakes.volumes ?? {}) },
    machines: only('MachineService', fakes.machines ?? {}),
    networks: only<Networks>('Networks', {}),
    doctor: { examine: async () => [] },
    events: fakes.events ?? new Events(),
    about: { version: '1.2.3', rootDirectory: '/root-directory' },
    logger: { debug: log, info: log, warn: log, error: log },
    closeGraceMs: 1_000,
  });
  await api.listen([`unix://${socket}`]);
  const open = (): Socket => connect({ path: socket, allowHalfOpen: true });
  return {
    socket,
    logged,
    connect: open,
    close: () => api.close(),
    exchange: (request) =>
      new Promise((resolve, reject) => {
        const connection = open();
        const chunks: Buffer[] = [];
        connection.on('data', (chunk: Buffer) => chunks.push(chunk));
        connection.on('error', reject);
        connection.on('end', () => {
          connection.end();
          resolve(Buffer.concat(chunks).toString('latin1'));
        });
        connection.write(request);
      }),
    async [Symbol.asyncDispose]() {
      await api.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export interface Reply {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** One request on a connection of its own; a chunked body is put together. */
export async function send(
  api: TestApi,
  line: string,
  headers: readonly string[] = [],
  body = '',
): Promise<Reply> {
  const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const head = [`${line} HTTP/1.1`, 'Host: h', 'Connection: close', ...headers, ...length];
  const text = await api.exchange(`${head.join('\r\n')}\r\n\r\n${body}`);
  const [replyHead = '', ...rest] = text.split('\r\n\r\n');
  const raw = rest.join('\r\n\r\n');
  const chunked = /transfer-encoding: chunked/i.test(replyHead);
  return {
    status: Number(replyHead.split(' ')[1]),
    head: replyHead,
    body: chunked ? dechunk(raw) : raw,
  };
}

function dechunk(raw: string): string {
  let [text, rest] = ['', raw];
  for (;;) {
    const end = rest.indexOf('\r\n');
    const size = Number.parseInt(rest.slice(0, end), 16);
    if (!size) return text;
    text += rest.slice(end + 2, end + 2 + size);
    rest = rest.slice(end + 2 + size + 2);
  }
}

/** A running container, as the pod service describes it. */
export function containerView(changes: Partial<ContainerView> = {}): ContainerView {
  const spec = parsePodSpec({ id: 'web', containers: [{ name: 'web', image: 'busybox' }] });
  return {
    id: 'c'.repeat(64),
    podId: 'web',
    name: 'web',
    spec: spec.containers[0],
    imageId: `sha256:${'1'.repeat(64)}`,
    state: { phase: 'running', startedAt: Date.UTC(2026, 0, 2, 3, 4, 5) },
    createdAt: new Date(Date.UTC(2026, 0, 2, 3, 4, 0)),
    tty: false,
    args: ['/bin/sh', '-c', 'true'],
    env: ['A=b=c'],
    workingDir: '/',
    imageVolumes: [],
    ...changes,
  } as ContainerView;
}

/** A running pod with one container, as the pod service describes it. */
export function podView(changes: Partial<PodView> = {}): PodView {
  const spec = parsePodSpec({
    id: 'web',
    labels: { a: '1' },
    containers: [{ name: 'web', image: 'busybox' }],
  });
  return {
    id: 'web',
    spec,
    state: { phase: 'running', startedAt: Date.UTC(2026, 0, 2, 3, 4, 5) },
    machineId: 'vm-abcdefghij',
    createdAt: new Date(Date.UTC(2026, 0, 2, 3, 4, 0)),
    addresses: ['10.0.2.15/24'],
    containers: [containerView()],
    ...changes,
  } as PodView;
}
