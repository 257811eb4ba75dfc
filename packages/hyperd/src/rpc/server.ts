import type { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { create, type DescMessage, type Message } from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { HyperError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import {
  type BidiMethod,
  type RpcMethods,
  type Send,
  type ServerStreamMethod,
  type UnaryMethod,
  writeAtPace,
} from './call.ts';
import { serviceDefinition } from './definition.ts';
import { PublicAPI } from './gen/types_pb.js';
import { rpcStatus } from './status.ts';

/** How long calls may take to end when the server closes, in ms. */
const CLOSE_GRACE_MS = 5_000;
const SETTINGS = {
  'grpc.max_receive_message_length': 4 * 1024 * 1024, // as JSON bodies
  'grpc.max_concurrent_streams': 1000, // of one connection
  // A client that has gone without a word is noticed by these.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 20_000,
};

type StreamingCall = ServerWritableStream<Message, Message> | ServerDuplexStream<Message, Message>;

interface AnyMethod {
  readonly name: string;
  readonly output: DescMessage;
}

/** The gRPC server of a table of methods. `listen` once; disposing ends running calls and the listener. */
export class RpcServer implements AsyncDisposable {
  readonly #server = new Server(SETTINGS);
  readonly #closing = new AbortController();
  readonly #logger: Logger;

  constructor(methods: RpcMethods, logger: Logger) {
    this.#logger = logger;
    const handlers = PublicAPI.methods.map((method) => {
      const run = methods[method.localName as keyof RpcMethods];
      switch (method.methodKind) {
        case 'unary':
          return [method.name, this.#unary(method, run as UnaryMethod<DescMessage, DescMessage>)];
        case 'server_streaming':
          return [
            method.name,
            this.#serverStream(method, run as ServerStreamMethod<DescMessage, DescMessage>),
          ];
        default:
          return [method.name, this.#bidi(method, run as BidiMethod<DescMessage, DescMessage>)];
      }
    });
    this.#server.addService(serviceDefinition(), Object.fromEntries(handlers));
  }

  /** Listens on `ADDRESS:PORT`, without encryption; resolves with that of the port it got. Rejects `conflict`. */
  async listen(host: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#server.bindAsync(host, ServerCredentials.createInsecure(), (error, port) => {
      if (!error) resolve(port);
      else reject(new HyperError('conflict', `serve gRPC on "${host}": ${error.message}`, { cause: error }));
    });
    return host.replace(/\d+$/, String(await promise));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.tryShutdown(resolve));
    this.#closing.abort();
    const timer = setTimeout(() => this.#server.forceShutdown(), CLOSE_GRACE_MS);
    await closed;
    clearTimeout(timer);
  }

  #unary(method: AnyMethod, run: UnaryMethod<DescMessage, DescMessage>): UntypedHandleCall {
    return async (call: ServerUnaryCall<Message, Message>, callback: sendUnaryData<Message>) => {
      try {
        const answer = await run(call.request, { signal: this.#signalOf(call) });
        callback(null, create(method.output, answer));
      } catch (error) {
        callback(this.#report(method, error));
      }
    };
  }

  #serverStream(method: AnyMethod, run: ServerStreamMethod<DescMessage, DescMessage>): UntypedHandleCall {
    return (call: ServerWritableStream<Message, Message>) =>
      this.#stream(method, call, (send, signal) => run(call.request, send, { signal }));
  }

  #bidi(method: AnyMethod, run: BidiMethod<DescMessage, DescMessage>): UntypedHandleCall {
    return (call: ServerDuplexStream<Message, Message>) => {
      return this.#stream(method, call, (send, signal) => run(requestsOf(call, signal), send, { signal }));
    };
  }

  async #stream(
    method: AnyMethod,
    call: StreamingCall,
    run: (send: Send<DescMessage>, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const signal = this.#signalOf(call);
    try {
      await run((message) => writeAtPace(call, create(method.output, message), signal), signal);
      call.end();
    } catch (error) {
      call.emit('error', this.#report(method, error)); // grpc-js sends it after what was written
    }
  }

  #signalOf(call: EventEmitter & { readonly cancelled: boolean }): AbortSignal {
    const gone = new AbortController();
    if (call.cancelled) gone.abort();
    call.once('cancelled', () => gone.abort());
    return AbortSignal.any([gone.signal, this.#closing.signal]);
  }

  #report({ name }: AnyMethod, error: unknown) {
    const isOurs = error instanceof HyperError && error.code !== 'internal';
    if (isOurs) this.#logger.debug({ rpc: name, err: error }, 'call refused');
    else this.#logger.error({ rpc: name, err: error }, 'call failed');
    return rpcStatus(error);
  }
}

/** How long after its end a stream may turn out to have been reset, in ms. */
const RESET_MS = 100;

/** What a client sends, until it half-closes. One that cancels or dies looks the same at first: `canceled` then. */
async function* requestsOf(
  call: ServerDuplexStream<Message, Message>,
  signal: AbortSignal,
): AsyncGenerator<Message> {
  try {
    yield* call.iterator({ destroyOnReturn: false });
    await sleep(RESET_MS, undefined, { signal });
  } catch (cause) {
    throw new HyperError('canceled', 'read input: the client has gone', { cause });
  }
}
