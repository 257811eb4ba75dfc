import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { GenService } from '@bufbuild/protobuf/codegenv2';
import { HyperError } from '../errors.ts';
import type { PublicAPI } from './gen/types_pb.js';

/** What every method is told of its call. */
export interface RpcCall {
  /** Aborted when the client cancels or has gone, its deadline passes, or the server closes. */
  readonly signal: AbortSignal;
}

/** Sends one message; resolves when the client's connection can take more. Rejects `canceled` once the client has gone. */
export type Send<Out extends DescMessage> = (message: MessageInitShape<Out>) => Promise<void>;

export type UnaryMethod<In extends DescMessage, Out extends DescMessage> = (
  request: MessageShape<In>,
  call: RpcCall,
) => MessageInitShape<Out> | Promise<MessageInitShape<Out>>;

export type ServerStreamMethod<In extends DescMessage, Out extends DescMessage> = (
  request: MessageShape<In>,
  send: Send<Out>,
  call: RpcCall,
) => Promise<void>;

export type BidiMethod<In extends DescMessage, Out extends DescMessage> = (
  requests: AsyncIterator<MessageShape<In>>,
  send: Send<Out>,
  call: RpcCall,
) => Promise<void>;

type Rpcs = typeof PublicAPI extends GenService<infer Table> ? Table : never;
type Part<Rpc, Key extends string> = Rpc extends { readonly [K in Key]: infer Schema extends DescMessage }
  ? Schema
  : never;
type MethodOf<Rpc> = Rpc extends { readonly methodKind: 'unary' }
  ? UnaryMethod<Part<Rpc, 'input'>, Part<Rpc, 'output'>>
  : Rpc extends { readonly methodKind: 'server_streaming' }
    ? ServerStreamMethod<Part<Rpc, 'input'>, Part<Rpc, 'output'>>
    : BidiMethod<Part<Rpc, 'input'>, Part<Rpc, 'output'>>;

/** A function for every method of the service, by the name that the generated code gives it. */
export type RpcMethods = { readonly [Name in keyof Rpcs]: MethodOf<Rpcs[Name]> };

/** Writes to a call at its client's pace. */
export async function writeAtPace(stream: Writable, message: unknown, signal: AbortSignal): Promise<void> {
  const gone = (cause?: unknown): never => {
    throw new HyperError('canceled', 'write output: the client has gone', { cause });
  };
  if (signal.aborted || !stream.writable) gone();
  if (stream.write(message)) return;
  await once(stream, 'drain', { signal }).catch(gone);
}

/** `value` where it is not empty. Throws `invalid-argument`. */
export function required(name: string, value: string): string {
  if (value !== '') return value;
  throw new HyperError('invalid-argument', `read request: "${name}" is missing`);
}
