import type { Readable } from 'node:stream';
import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { GenService } from '@bufbuild/protobuf/codegenv2';
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  makeGenericClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { serviceDefinition } from '../../packages/hyperd/src/rpc/definition.ts';
import { PublicAPI } from '../../packages/hyperd/src/rpc/gen/types_pb.js';

type Rpcs = typeof PublicAPI extends GenService<infer Table> ? Table : never;
type Named<Kind> = {
  [Name in keyof Rpcs]: Rpcs[Name] extends { readonly methodKind: Kind } ? Name : never;
}[keyof Rpcs];
type In<Name extends keyof Rpcs> = MessageInitShape<Rpcs[Name]['input']>;
type Out<Name extends keyof Rpcs> = MessageShape<Rpcs[Name]['output']>;

export interface RpcSession<Name extends keyof Rpcs> extends Disposable {
  send(message: In<Name>): void;
  /** No more input. */
  end(): void;
  /** The next message; undefined after the last. */
  next(): Promise<Out<Name> | undefined>;
}

/** A client of the gRPC service that shares with the server only the schema. */
export class RpcClient implements Disposable {
  readonly #client;

  constructor(address: string) {
    const Client = makeGenericClientConstructor(serviceDefinition(), 'PublicAPI');
    this.#client = new Client(address, credentials.createInsecure());
  }

  /** Rejects with grpc-js' ServiceError. */
  call<Name extends Named<'unary'>>(name: Name, request: In<Name>): Promise<Out<Name>> {
    const method = PublicAPI.method[name];
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, answer: Out<Name>): void =>
        error ? reject(error) : resolve(answer);
      this.#method(method.name)(create(method.input as DescMessage, request), done);
    });
  }

  /** All messages of a server's stream. */
  async collect<Name extends Named<'server_streaming'>>(name: Name, request: In<Name>): Promise<Out<Name>[]> {
    const stream = this.follow(name, request);
    return (await stream.toArray()) as Out<Name>[];
  }

  follow<Name extends Named<'server_streaming'>>(
    name: Name,
    request: In<Name>,
  ): ClientReadableStream<Out<Name>> {
    const method = PublicAPI.method[name];
    return this.#method(method.name)(create(method.input as DescMessage, request)) as ClientReadableStream<
      Out<Name>
    >;
  }

  open<Name extends Named<'bidi_streaming'>>(name: Name): RpcSession<Name> {
    const method = PublicAPI.method[name];
    const stream = this.#method(method.name)() as ClientDuplexStream<object, Out<Name>>;
    stream.on('error', () => undefined); // `next` tells it
    const messages = (stream as Readable)[Symbol.asyncIterator]();
    return {
      send: (message) => void stream.write(create(method.input as DescMessage, message)),
      end: () => void stream.end(),
      async next() {
        const { value, done } = await messages.next();
        return done ? undefined : value;
      },
      [Symbol.dispose]() {
        stream.cancel();
      },
    };
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #method(name: string): (...args: unknown[]) => unknown {
    const method = this.#client[name];
    if (typeof method !== 'function') throw new Error(`no method ${name}`);
    return method.bind(this.#client) as (...args: unknown[]) => unknown;
  }
}
