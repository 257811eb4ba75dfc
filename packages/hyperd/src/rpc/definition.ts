import { type DescMessage, type DescMethod, fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { PublicAPI } from './gen/types_pb.js';

/** The service as grpc-js wants it, for a server or a client. */
export function serviceDefinition(): ServiceDefinition {
  return Object.fromEntries(PublicAPI.methods.map((method) => [method.name, methodDefinition(method)]));
}

function methodDefinition(method: DescMethod): MethodDefinition<Message, Message> {
  const { methodKind, input, output } = method;
  return {
    path: `/${PublicAPI.typeName}/${method.name}`,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    ...{ requestSerialize: writer(input), requestDeserialize: reader(input) },
    ...{ responseSerialize: writer(output), responseDeserialize: reader(output) },
  };
}

function writer(schema: DescMessage): (message: Message) => Buffer {
  return (message) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function reader(schema: DescMessage): (bytes: Buffer) => Message {
  return (bytes) => fromBinary(schema, bytes);
}
