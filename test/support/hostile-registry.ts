import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** A server of HTTP that does what a test wants, and remembers what it was asked. */
export interface OddServer extends AsyncDisposable {
  /** `localhost:PORT` */
  readonly host: string;
  readonly port: number;
  /** Without those that only find out whether a registry is there. */
  readonly seen: readonly SeenRequest[];
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** Starts one on loopback, with TLS where a certificate and its key are given. */
export async function startOdd(handle: Handler, tls?: { cert: Buffer; key: Buffer }): Promise<OddServer> {
  const seen: SeenRequest[] = [];
  const listener: Handler = async (request, response) => {
    const { method = '', url = '', headers } = request;
    if (
      url === '/v2/' &&
      headers['user-agent'] === undefined &&
      headers.authorization === undefined &&
      !handlesPing(handle)
    ) {
      response.end();
      return;
    }
    seen.push({ method, url, headers });
    response.on('error', () => undefined); // the test's client may be gone
    await handle(request, response);
  };
  const server = tls ? createTlsServer(tls, listener as never) : createServer(listener as never);
  return { ...(await listening(server)), seen };
}

const PINGED = new WeakSet<Handler>();
/** Marks a handler that wants requests for `/v2/` as well. */
export function withPing(handle: Handler): Handler {
  PINGED.add(handle);
  return handle;
}
function handlesPing(handle: Handler): boolean {
  return PINGED.has(handle);
}

export interface TestProxy extends OddServer {
  /** Of each CONNECT and of each request in the absolute form. */
  readonly targets: readonly string[];
}

/** A forward proxy that takes every name for this host. */
export async function startProxy(): Promise<TestProxy> {
  const targets: string[] = [];
  const tunnels = new Set<Socket>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '');
    targets.push(`${request.method} ${url.href}`);
    const { method, headers } = request;
    const onward = httpRequest(
      {
        ...{ host: '127.0.0.1', port: url.port, path: url.pathname + url.search, method, headers },
        agent: false,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    targets.push(`CONNECT ${request.url}`);
    const onward = connect(Number(request.url?.split(':').at(-1)), '127.0.0.1');
    for (const end of [socket, onward]) {
      tunnels.add(end);
      end.on('close', () => tunnels.delete(end));
      end.on('error', () => [socket, onward].map((each) => each.destroy()));
    }
    onward.once('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
  });
  const base = await listening(server);
  return {
    ...{ ...base, seen: [], targets },
    async [Symbol.asyncDispose]() {
      for (const end of tunnels) end.destroy();
      await base[Symbol.asyncDispose]();
    },
  };
}

async function listening(server: Server): Promise<Omit<OddServer, 'seen'>> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    ...{ host: `localhost:${port}`, port },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Makes an authority `NAME-ca.crt` and a certificate of it, `NAME.crt` with `NAME.key`, for localhost and registry.test. */
export function makeCertificates(directory: string, name: string) {
  const path = (file: string): string => join(directory, file);
  const openssl = (...parameters: string[]): void => {
    execFileSync('openssl', parameters, { stdio: 'ignore', cwd: directory });
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-days',
    '2',
    '-subj',
    `/CN=${name} CA`,
    '-keyout',
    `${name}-ca.key`,
    '-out',
    `${name}-ca.crt`,
  );
  openssl('req', ...key, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
  writeFileSync(path(`${name}.ext`), 'subjectAltName=DNS:localhost,DNS:registry.test,IP:127.0.0.1');
  const signed = [
    '-CA',
    `${name}-ca.crt`,
    '-CAkey',
    `${name}-ca.key`,
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    `${name}.ext`,
  ];
  openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.crt`);
  return { authority: path(`${name}-ca.crt`), certificate: path(`${name}.crt`), key: path(`${name}.key`) };
}
