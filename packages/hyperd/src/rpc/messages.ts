import {
  type DescMessage,
  fromJson,
  type JsonValue,
  type Message,
  type MessageShape,
  toJson,
} from '@bufbuild/protobuf';
import { type UserContainer, UserContainerSchema, type UserPod, UserPodSchema } from './gen/types_pb.js';

/** A shape of the JSON API as the message of the same names. What the message has no field for is left out. */
export function messageOf<Schema extends DescMessage>(schema: Schema, shape: object): MessageShape<Schema> {
  return fromJson(schema, shape as JsonValue, { ignoreUnknownFields: true });
}

/** A message as the JSON that the parsers of the domain read; fields with the default value are absent. */
export function jsonOf<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): JsonValue {
  return toJson(schema, message);
}

/** A pod specification as JSON. `id` in place of its own, where it is not empty. */
export function podJson(spec: UserPod, id: string): object {
  const json = jsonOf(UserPodSchema, spec) as object;
  const containers = spec.containers.map(containerJson);
  return { ...json, containers, ...(id === '' ? {} : { id }) };
}

/** A container specification as JSON. */
export function containerJson(spec: UserContainer): object {
  const json = jsonOf(UserContainerSchema, spec) as object;
  // Numbers of 64 bits are text in JSON (Protocol Buffers, "ProtoJSON Format"), but numbers in the specification.
  const ulimits = spec.ulimits.map(({ Name, Hard, Soft }) => ({
    ...{ name: Name, hard: Number(Hard), soft: Number(Soft) },
  }));
  return { ...json, ulimits };
}

/** Messages of one kind as a JSON array. */
export function jsonArray<Schema extends DescMessage>(
  schema: Schema,
  messages: readonly (MessageShape<Schema> & Message)[],
): JsonValue[] {
  return messages.map((message) => jsonOf(schema, message));
}
