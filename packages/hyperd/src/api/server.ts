import {
  createServer,
  type IncomingMessage,
  type ServerOptions as NodeServerOptions,
  type Server,
  ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from 'node:https';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { TLSSocket } from 'node:tls';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { HyperError, isHyperError, messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Access, ClientIdentity } from './access.ts';
import { sendAnswer, sendError, wantsJson } from './answer.ts';
import { type ApiVersion, splitVersion } from './api-version.ts';
import type { AuditLog } from './audit-log.ts';
import type { Call, PlainRoute, Route, SessionDescription } from './call.ts';
import { cleanUrl } from './clean-url.ts';
import { type Parameter, parametersOf } from './describe.ts';
import { refuseHijacked, runHijacked } from './hijack.ts';
import { type Host, listenOn, parseHost, type SocketGuard } from './listen.ts';
import { Parameters } from './parameters.ts';
import {
  bodyStream,
  FORM_LIMIT_BYTES,
  hasBody,
  keepOpenForAnswer,
  mediaType,
  readBody,
  readJsonBody,
} from './request-body.ts';
import { upgradeHijackedRequests } from './upgrade.ts';

const HEADERS_TIMEOUT_MS = 60_000;
/** Ids of pods have up to 128 characters, which may come percent-encoded. */
const MAX_PATH_PARAMETER_LENGTH = 1024;
const FORM_TYPE = 'application/x-www-form-urlencoded';

export interface ServerOptions {
  readonly routes: readonly Route[];
  readonly logger: Logger;
  /** Value of the `Server` header. */
  readonly product: string;
  /** What clients may do (default: everything). */
  readonly access?: Access | undefined;
  /** Where calls that change something, and refused ones, are recorded (default: nowhere). */
  readonly audit?: AuditLog | undefined;
  /** Needed to listen on `tls://`. */
  readonly tls?: TlsOptions | undefined;
  readonly socketGuard?: SocketGuard | undefined;
  /** How long running calls may take to end when the server closes, in ms (default 5000). */
  readonly closeGraceMs?: number;
}

/**
 * The HTTP server of a table of routes: each at its path, its aliases, and below a version prefix. Made by `createApi`; `listen` once,
 * `close` once (or dispose).
 */
export class ApiServer implements AsyncDisposable {
  readonly #app: FastifyInstance;
  readonly #options: ServerOptions;
  readonly #servers: { readonly server: Server; readonly endSilent: () => void }[] = [];
  readonly #closing = new AbortController();
  readonly #versions = new WeakMap<IncomingMessage, ApiVersion>();
  readonly #upgraded = new WeakSet<IncomingMessage>();
  readonly #hijacks = new Map<string, Hijack>();
  readonly #sockets = new Set<Socket>();
  /** Who is at the other end of a connection: known when it is made, and asked of every call on it. */
  readonly #clients = new WeakMap<Socket, ClientIdentity>();

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#app = Fastify({
      exposeHeadRoutes: false,
      routerOptions: { maxParamLength: MAX_PATH_PARAMETER_LENGTH },
      frameworkErrors: (error, _request, reply) => sendError(reply, error),
      rewriteUrl: (request) => {
        const { version, url } = splitVersion(request.url ?? '/');
        if (version) this.#versions.set(request as IncomingMessage, version);
        return url;
      },
    });
    this.#app.removeAllContentTypeParsers();
    this.#app.addContentTypeParser('*', (_request, _payload, done) => done(null)); // routes read bodies themselves
    this.#app.addHook('onRequest', (request, reply, done) => {
      reply.header('Server', options.product);
      const cleaned = cleanUrl(request.originalUrl);
      if (cleaned === request.originalUrl) done();
      else reply.code(301).header('Location', cleaned).send();
    });
    this.#app.addHook('onSend', (_request, reply, _payload, done) => {
      if (this.#closing.signal.aborted) reply.header('Connection', 'close');
      done();
    });
    this.#app.setNotFoundHandler((_request, reply) =>
      sendError(reply, new HyperError('not-found', '404 page not found')),
    );
    this.#app.setErrorHandler((error, _request, reply) => {
      this.#report(error, reply);
      return sendError(reply, error);
    });
    for (const route of options.routes) this.#register(route);
  }

  /** Listens on every host (`unix://PATH`, `tcp://ADDRESS:PORT`, `tls://ADDRESS:PORT`); resolves with the URLs. Rejects `conflict`, `invalid-argument`. */
  async listen(hostUrls: readonly string[]): Promise<string[]> {
    await this.#app.ready();
    const hosts = hostUrls.map((url) => ({ url, host: parseHost(url) }));
    const urls: string[] = [];
    try {
      for (const { url, host } of hosts) {
        const created = this.#createServer(host, url);
        urls.push(await listenOn(created.server, host, this.#options.socketGuard));
        this.#servers.push(created);
      }
    } catch (error) {
      await this.close();
      throw error;
    }
    return urls;
  }

  /** Stops accepting, ends running calls, and after the grace their connections. Sockets are removed. Repeatable. */
  async close(): Promise<void> {
    const closed = this.#servers.splice(0).map(({ server, endSilent }) => {
      const ended = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      endSilent();
      return ended;
    });
    this.#closing.abort();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, this.#options.closeGraceMs ?? 5_000);
    await Promise.all(closed);
    clearTimeout(timer);
    await this.#app.close();
    this.#options.audit?.[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #createServer({ kind }: Host, url: string): { readonly server: Server; readonly endSilent: () => void } {
    const settings: NodeServerOptions = {
      ...{ headersTimeout: HEADERS_TIMEOUT_MS, keepAliveTimeout: 30_000 },
      requestTimeout: 0, // an image may take its time to arrive; other bodies have their own limit
      shouldUpgradeCallback: (request) => this.#isHijacked(request.method ?? '', request.url ?? ''),
    };
    const { tls } = this.#options;
    if (kind === 'tls' && !tls)
      throw new HyperError('invalid-argument', `listen on "${url}": there are no TLS certificates`);
    const server = kind === 'tls' ? createTlsServer({ ...settings, ...tls }) : createServer(settings);
    const connected = kind === 'tls' ? 'secureConnection' : 'connection';
    const endSilent = upgradeHijackedRequests(
      ...([server, connected] as const),
      (method, path) => this.#isHijacked(method, path),
      HEADERS_TIMEOUT_MS,
    );
    server.on(connected, (socket: Socket) => {
      this.#clients.set(socket, clientOf(socket, url));
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      socket.on('error', (error) => {
        this.#options.logger.debug({ err: messageOf(error) }, 'connection of a client');
      });
    });
    server.on('tlsClientError', (error: Error) => {
      this.#options.logger.warn({ err: messageOf(error) }, 'TLS client refused');
    });
    server.on('request', (request, response) => this.#app.routing(request, response));
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head));
    return { server, endSilent };
  }

  #isHijacked(method: string, url: string): boolean {
    const [path = ''] = splitVersion(url).url.split('?');
    const hijack = method === 'POST' ? this.#hijacks.get(path) : undefined;
    return hijack?.asked(new Parameters(queryText(url))) ?? false;
  }

  /** Routes an upgrade as any request; an answer that is no upgrade ends the connection. */
  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    if (head.length > 0) socket.unshift(head);
    this.#upgraded.add(request);
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once('finish', () => socket.destroySoon());
    this.#app.routing(request, response);
  }

  #register(route: Route): void {
    const parameters = parametersOf(route.parameters);
    const described = new Set(parameters.flatMap(({ names }) => names));
    const required = parameters.filter((parameter) => parameter.required);
    const hijack = hijackOf(route);
    for (const url of [route.path, ...(route.aliases ?? [])]) {
      if (hijack) this.#hijacks.set(url, hijack);
      this.#app.route({
        method: route.method,
        url: url.replaceAll(/\{(\w+)\}/g, ':$1'),
        handler: (request, reply) => {
          const served = { route, described, required };
          if (hijack && this.#isHijacked(route.method, request.originalUrl)) {
            return this.#hijack(served, hijack, request, reply);
          }
          return this.#answer(served as Served<PlainRoute>, request, reply);
        },
      });
    }
  }

  async #answer(
    served: Served<PlainRoute>,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { route } = served;
    const signal = this.#signalOf(reply.raw);
    const answered = route.body === 'stream' ? keepOpenForAnswer(request.raw, reply.raw) : undefined;
    const record = this.#recorder(route, request);
    try {
      const call = await this.#call(served, request, signal);
      record.call = call;
      this.#options.access?.check(record.client, route, call);
      await sendAnswer(reply, await route.handle(call), signal);
      record.end();
    } catch (error) {
      record.end(error);
      this.#report(error, reply);
      sendError(reply, error, route.statuses);
    }
    answered?.();
    return reply;
  }

  async #hijack(
    served: Served<Route>,
    hijack: Hijack,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { raw } = request;
    const { path } = served.route;
    const socket = raw.socket;
    const record = this.#recorder(served.route, request);
    try {
      if (!this.#upgraded.has(raw)) {
        throw new HyperError(
          'invalid-argument',
          `take over connection for "${path}": send it as the connection's first request, or with "Upgrade: tcp"`,
        );
      }
      record.call = await this.#call(served, request, this.#closing.signal);
      this.#options.access?.check(record.client, served.route, record.call);
      const session = await hijack.open(record.call);
      reply.hijack();
      reply.raw.detachSocket(socket);
      const error = await runHijacked(socket, session, this.#closing.signal);
      record.end(error);
      if (error) this.#report(error, reply);
    } catch (error) {
      record.end(error);
      this.#report(error, reply);
      if (wantsJson(raw) || !this.#upgraded.has(raw)) return sendError(reply, error);
      reply.hijack();
      reply.raw.detachSocket(socket);
      refuseHijacked(
        socket,
        error,
        !hijack.isRaw(new Parameters(queryText(raw.url)), raw.headers),
        this.#closing.signal,
      );
    }
    return reply;
  }

  async #call(
    { route, described, required }: Served<Route>,
    request: FastifyRequest,
    signal: AbortSignal,
  ): Promise<Call> {
    const { raw } = request;
    const body = 'body' in route ? route.body : undefined;
    const anyType = body === 'json-of-any-type';
    const isForm = !anyType && mediaType(raw) === FORM_TYPE;
    const form = isForm ? await readBody(raw, FORM_LIMIT_BYTES) : '';
    const takesJson = (body === 'json' || anyType) && !isForm;
    const json = takesJson ? await readJsonBody(raw, { anyType }) : undefined;
    if (body === undefined && !isForm && this.#upgraded.has(raw) && hasBody(raw)) {
      await readBody(raw, FORM_LIMIT_BYTES); // what follows it is the session's input
    }
    const parameters = new Parameters(
      ...([queryText(raw.url), form] as const),
      ...([request.params as Record<string, string>, described] as const),
    );
    requireParameters(required, parameters);
    return {
      ...{ parameters, version: this.#versions.get(raw), headers: raw.headers },
      ...{ signal, json, body: body === 'stream' && !isForm ? bodyStream(raw) : Readable.from([]) },
    };
  }

  /** To be told of a call's end: calls that change something are recorded, and those that are not allowed. */
  #recorder(route: Route, { raw }: FastifyRequest): CallRecorder {
    const startedAt = performance.now();
    const client = this.#clients.get(raw.socket) ?? NOBODY;
    const { audit, logger } = this.#options;
    return {
      client,
      call: undefined,
      end(error) {
        if (route.method === 'GET' && !isHyperError(error, 'forbidden')) return;
        const outcome = error === undefined ? 'done' : isHyperError(error) ? error.code : 'internal';
        const durationMs = performance.now() - startedAt;
        try {
          audit?.write({ client, route, call: this.call, outcome, durationMs });
        } catch (failure) {
          logger.error({ err: failure }, 'write audit log'); // a full disk must not end what runs
        }
      },
    };
  }

  #signalOf(response: ServerResponse): AbortSignal {
    const gone = new AbortController();
    const abort = (): void => gone.abort();
    this.#closing.signal.addEventListener('abort', abort, { once: true });
    response.once('close', () => {
      this.#closing.signal.removeEventListener('abort', abort);
      if (!response.writableFinished) gone.abort();
    });
    return gone.signal;
  }

  #report(error: unknown, reply: FastifyReply): void {
    const fields = { method: reply.request.method, url: reply.request.url, err: error };
    const isOurs = error instanceof HyperError && error.code !== 'internal';
    if (isOurs) this.#options.logger.debug(fields, 'request refused');
    else this.#options.logger.error(fields, 'request failed');
  }
}

interface CallRecorder {
  readonly client: ClientIdentity;
  /** Once it is known. */
  call: Call | undefined;
  end(error?: unknown): void;
}

interface Served<R extends Route> {
  readonly route: R;
  /** The names that it may read. */
  readonly described: ReadonlySet<string>;
  readonly required: readonly Parameter[];
}

/** Of a connection that no listener of ours has brought; there is none. */
const NOBODY: ClientIdentity = { kind: 'certificate', name: '' };

/** `listener`: the URL that the connection came in by. */
function clientOf(socket: Socket, listener: string): ClientIdentity {
  if (!(socket instanceof TLSSocket)) return { kind: 'listener', name: listener };
  const name = socket.getPeerCertificate().subject?.CN ?? '';
  return { kind: 'certificate', name: [name].flat()[0] ?? '' };
}

type Hijack = Required<SessionDescription>;

function hijackOf(route: Route): Hijack | undefined {
  const session = 'open' in route ? route : route.session;
  return session && { asked: () => true, isRaw: () => false, ...session };
}

function queryText(url = ''): string {
  return url.split('?').slice(1).join('?');
}

function requireParameters(required: readonly Parameter[], given: Parameters): void {
  for (const { names } of required) {
    if (given.text(...names) === '') {
      throw new HyperError('invalid-argument', `read parameters: "${names[0]}" is missing`);
    }
  }
}
