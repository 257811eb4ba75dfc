import { isIPv4 } from 'node:net';
import { type TSchema, Type } from 'typebox';
import { HyperError } from '../../errors.ts';
import type { PortMapping } from './pod-spec.ts';
import { readJson } from './read-json.ts';
import { type ContainerJson, type PodJson, PortMappingSchema } from './schema.ts';

type MappingJson = NonNullable<PodJson['portmappings']>[number];

interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** What `delete` takes away: every mapping of this protocol and container port, wherever it is published. */
export interface PortSelector {
  readonly protocol: string;
  readonly containerPort: string;
}

/** One port of a mapping. */
export interface PortPair {
  /** undefined: one that nobody has. */
  readonly hostPort: number | undefined;
  readonly containerPort: number;
}

const MappingList: TSchema = Type.Array(PortMappingSchema, { maxItems: 1024 });

/**
 * The pod's port mappings, with those of its containers' deprecated `ports` behind them. Throws `invalid-spec` where a protocol is not
 * tcp or udp, a port or range is none, an address is no IPv4 address, or the two ranges of a mapping differ in length.
 */
export function portMappingsOf(pod: PodJson): PortMapping[] {
  return [
    ...(pod.portmappings ?? []).map(checked),
    ...(pod.containers ?? []).flatMap((container, index) =>
      portMappingsOfContainer(container, `containers[${index}].`),
    ),
  ];
}

/** The mappings in the deprecated `ports` of a container. Throws `invalid-spec`. */
export function portMappingsOfContainer(container: ContainerJson, at: string): PortMapping[] {
  return (container.ports ?? []).flatMap((port, index) => {
    if (!port.hostPort) return []; // says that the port is used, maps nothing
    const [containerPort, hostPort] = [String(port.containerPort ?? 0), String(port.hostPort)];
    return [checkedAt({ containerPort, hostPort, protocol: port.protocol ?? '' }, `${at}ports[${index}]`)];
  });
}

/** Mappings to add to a pod: a JSON array, as in its specification. Throws `invalid-spec`. */
export function parsePortMappings(json: unknown): PortMapping[] {
  return (readJson(MappingList, json, 'portmappings') as MappingJson[]).map(checked);
}

/** Mappings to take away, given as they were added; what `hostPort` says is of no account. Throws `invalid-spec`. */
export function parsePortSelectors(json: unknown): PortSelector[] {
  return (readJson(MappingList, json, 'portmappings') as MappingJson[]).map((mapping) => ({
    protocol: protocolOf(mapping),
    containerPort: mapping.containerPort ?? '',
  }));
}

/** The single ports of a checked mapping. */
export function portPairs({ hostPort, containerPort }: PortMapping): PortPair[] {
  const inside = rangeOf(containerPort, 'containerPort');
  const outside = hostPort === '' ? undefined : rangeOf(hostPort, 'hostPort');
  return Array.from({ length: lengthOf(inside) }, (_, index) => ({
    hostPort: outside && outside.first + index,
    containerPort: inside.first + index,
  }));
}

function checked(mapping: MappingJson, index: number): PortMapping {
  return checkedAt(mapping, `portmappings[${index}]`);
}

function checkedAt(json: MappingJson, place: string): PortMapping {
  const { containerPort = '', hostPort = '', hostIP = '' } = json;
  const protocol = protocolOf(json);
  if (!['tcp', 'udp'].includes(protocol)) {
    throw new HyperError('invalid-spec', `unrecongnized protocol ${protocol} in "${place}", want tcp or udp`);
  }
  if (hostIP !== '' && !isIPv4(hostIP)) {
    throw new HyperError(
      'invalid-spec',
      `"${place}.hostIP" is "${hostIP.slice(0, 64)}", want an IPv4 address of the host`,
    );
  }
  const inside = lengthOf(rangeOf(containerPort, `${place}.containerPort`));
  const outside = hostPort === '' ? 1 : lengthOf(rangeOf(hostPort, `${place}.hostPort`));
  if (inside !== outside) throw mismatch(place, json, inside, outside);
  return { containerPort, hostPort, protocol, hostIP };
}

function mismatch(place: string, json: MappingJson, inside: number, outside: number): HyperError {
  const { containerPort = '', hostPort = '' } = json;
  const host =
    hostPort === '' ? 'one host port that is chosen for you' : `host ports ${hostPort} (${outside})`;
  return new HyperError(
    'invalid-spec',
    `port range mismatch in "${place}": ${host} for container ports ${containerPort} (${inside}); want as many on either side`,
  );
}

function protocolOf({ protocol }: MappingJson): string {
  return (protocol || 'tcp').toLowerCase();
}

function lengthOf({ first, last }: PortRange): number {
  return last - first + 1;
}

function rangeOf(text: string, place: string): PortRange {
  const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last) };
  if (first !== '' && range.first >= 1 && range.last <= 65_535 && range.first <= range.last) return range;
  throw new HyperError(
    'invalid-spec',
    `"${place}" is "${text.slice(0, 32)}", want a port from 1 to 65535 or a range such as 8000-8010`,
  );
}
