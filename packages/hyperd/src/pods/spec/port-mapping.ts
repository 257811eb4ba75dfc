import { HyperError } from '../../errors.ts';
import type { PortMapping } from './pod-spec.ts';
import type { ContainerJson, PodJson } from './schema.ts';

interface PortRange {
  readonly first: number;
  readonly last: number;
}

/**
 * The pod's port mappings, with those of its containers' deprecated `ports` behind them. Throws `invalid-spec` where a protocol is not
 * tcp or udp, a port or range is none, or the two ranges of a mapping differ in length.
 */
export function portMappingsOf(pod: PodJson): PortMapping[] {
  const own = (pod.portmappings ?? []).map((mapping, index) =>
    checked(
      {
        containerPort: mapping.containerPort ?? '',
        hostPort: mapping.hostPort ?? '',
        protocol: (mapping.protocol || 'tcp').toLowerCase(),
      },
      `portmappings[${index}]`,
    ),
  );
  return [...own, ...(pod.containers ?? []).flatMap(mappingsOfContainer)];
}

function mappingsOfContainer(container: ContainerJson, position: number): PortMapping[] {
  return (container.ports ?? []).flatMap((port, index) => {
    if (!port.hostPort) return []; // says that the port is used, maps nothing
    return [
      checked(
        {
          containerPort: String(port.containerPort ?? 0),
          hostPort: String(port.hostPort),
          protocol: (port.protocol || 'tcp').toLowerCase(),
        },
        `containers[${position}].ports[${index}]`,
      ),
    ];
  });
}

function checked(mapping: PortMapping, place: string): PortMapping {
  if (!['tcp', 'udp'].includes(mapping.protocol)) {
    throw new HyperError(
      'invalid-spec',
      `unrecongnized protocol ${mapping.protocol} in "${place}", want tcp or udp`,
    );
  }
  const inside = rangeOf(mapping.containerPort, `${place}.containerPort`);
  const outside = rangeOf(mapping.hostPort, `${place}.hostPort`);
  if (inside.last - inside.first !== outside.last - outside.first) {
    throw new HyperError(
      'invalid-spec',
      `port range mismatch in "${place}": ${mapping.hostPort} and ${mapping.containerPort} differ in length`,
    );
  }
  return mapping;
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
