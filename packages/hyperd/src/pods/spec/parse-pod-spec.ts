import { HyperError } from '../../errors.ts';
import { newPodId } from '../../ids.ts';
import { cidrOf, parseCidr, widest } from '../../networks/subnet.ts';
import type { ContainerSpec, FileSpec, PodSpec, RestartPolicy, ServiceSpec } from './pod-spec.ts';
import { portMappingsOf, portMappingsOfContainer } from './port-mapping.ts';
import { readJson } from './read-json.ts';
import { checkContainer, checkPod, checkServices, type PodNames, restartPolicyOf } from './rules.ts';
import {
  type ContainerJson,
  ContainerSchema,
  type FileJson,
  type PodJson,
  PodSchema,
  type ServicesJson,
  ServicesSchema,
} from './schema.ts';
import { volumeOf } from './volume-rules.ts';

/** The original's machine size, for pods that ask for none. */
const DEFAULT_VCPUS = 1;
const DEFAULT_MEMORY_MIB = 128;
const MAX_HOSTNAME_LENGTH = 63;
const MAX_SUBNETS = 256;
const NOTHING: PodNames = { volumes: new Set(), files: new Set() };

/**
 * A pod specification as a client sent it (already decoded JSON), checked and with defaults filled in: an id where it has none, the
 * id's first 63 characters as host name, 1 vCPU and 128 MiB. Throws `invalid-spec`.
 */
export function parsePodSpec(json: unknown): PodSpec {
  const pod = readJson(PodSchema, json, '');
  const containersJson = (pod.containers ?? []).map(withPlainName);
  checkPod({ ...pod, containers: containersJson });
  const id = pod.id || newPodId();
  const restartPolicy = restartPolicyOf(pod.restartPolicy, 'restartPolicy');
  return {
    id,
    hostname: (pod.hostname || id).slice(0, MAX_HOSTNAME_LENGTH),
    labels: pod.labels ?? {},
    resource: {
      vcpus: positive(pod.resource?.vcpu) ?? DEFAULT_VCPUS,
      memoryMib: positive(pod.resource?.memory) ?? DEFAULT_MEMORY_MIB,
    },
    restartPolicy,
    keepMachine: pod.keepVm ?? false,
    autoRemove: pod.autoRemove ?? false,
    log: { type: pod.log?.type ?? '', config: pod.log?.config ?? {} },
    dns: pod.dns ?? [],
    dnsOptions: pod.dnsOptions ?? [],
    dnsSearch: pod.dnsSearch ?? [],
    containers: containersJson.map((container, index) =>
      containerOf(container, `containers[${index}].`, { tty: pod.tty ?? false, restartPolicy }),
    ),
    files: (pod.files ?? []).map(fileOf),
    volumes: (pod.volumes ?? []).map(volumeOf),
    portMappings: portMappingsOf(pod),
    network: pod.network ?? '',
    interfaces: (pod.interfaces ?? []).map(
      ({ bridge = '', ip = '', ifname = '', mac = '', mtu = 0, gateway = '' }) => ({
        ...{ bridge, ip, ifname, mac, mtu, gateway },
      }),
    ),
    services: servicesOf(pod.services ?? []),
    portMappingWhiteLists: {
      internalNetworks: subnetsOf(pod, 'internalNetworks'),
      externalNetworks: subnetsOf(pod, 'externalNetworks'),
    },
  };
}

/** A list of who may connect; a bare address is a subnet of its own. */
function subnetsOf(
  { portmappingWhiteLists }: PodJson,
  list: 'internalNetworks' | 'externalNetworks',
): string[] {
  const texts = portmappingWhiteLists?.[list] ?? [];
  if (texts.length > MAX_SUBNETS)
    throw new HyperError(
      'invalid-spec',
      `"portmappingWhiteLists.${list}" has ${texts.length} entries, want at most ${MAX_SUBNETS}`,
    );
  const subnets = texts.map((text, index) => {
    const subnet = parseCidr(text.includes('/') ? text : `${text}/32`);
    if (subnet) return subnet;
    throw new HyperError(
      'invalid-spec',
      `"portmappingWhiteLists.${list}[${index}]" is "${text.slice(0, 64)}", want IPv4 addresses such as 10.0.0.0/8`,
    );
  });
  return widest(subnets).map(cidrOf);
}

/**
 * A container specification for a pod that exists: files and volumes carry their own `detail`. The name stays empty where none is
 * given. Throws `invalid-spec`.
 */
export function parseContainerSpec(json: unknown): ContainerSpec {
  const container = withPlainName(readJson(ContainerSchema, json, ''));
  checkContainer(container, '', NOTHING);
  const spec = containerOf(container, '', { tty: false, restartPolicy: 'never' });
  return { ...spec, portMappings: portMappingsOfContainer(container, '') };
}

/** Services as a client sent them for a pod that exists: each has an address and a port. Throws `invalid-spec`. */
export function parseServices(json: unknown): ServiceSpec[] {
  const services = readJson(ServicesSchema, json, 'services');
  checkServices(services);
  return servicesOf(services);
}

function servicesOf(services: ServicesJson): ServiceSpec[] {
  return services.map(({ serviceIP = '', servicePort = 0, protocol = 'tcp', hosts = [] }) => ({
    ...{ serviceIP, servicePort, protocol: protocol.toLowerCase() },
    hosts: hosts.map(({ hostIP = '', hostPort = 0 }) => ({ hostIP, hostPort })),
  }));
}

/** Docker's names may be written with a slash in front. */
function withPlainName(container: ContainerJson): ContainerJson {
  return container.name?.startsWith('/') ? { ...container, name: container.name.slice(1) } : container;
}

function containerOf(
  json: ContainerJson,
  at: string,
  pod: { readonly tty: boolean; readonly restartPolicy: RestartPolicy },
): ContainerSpec {
  return {
    name: json.name ?? '',
    image: json.image ?? '',
    command: json.command ?? [],
    entrypoint: json.entrypoint ?? [],
    workdir: json.workdir ?? '',
    envs: (json.envs ?? []).map(({ env = '', value = '' }) => ({ env, value })),
    tty: pod.tty || (json.tty ?? false),
    user: {
      name: json.user?.name ?? '',
      group: json.user?.group ?? '',
      additionalGroups: json.user?.additionalGroups ?? [],
    },
    labels: json.labels ?? {},
    stopSignal: json.stopSignal ?? '',
    ulimits: (json.ulimits ?? []).map(({ name = '', hard = 0, soft = 0 }) => ({
      ...{ name: name.toLowerCase(), hard: limitOf(hard), soft: limitOf(soft) },
    })),
    readOnly: json.readOnly ?? false,
    sysctl: json.sysctl ?? {},
    restartPolicy: json.restartPolicy
      ? restartPolicyOf(json.restartPolicy, `${at}restartPolicy`)
      : pod.restartPolicy,
    volumes: (json.volumes ?? []).map(({ path = '', volume = '', readOnly = false, detail }) => ({
      ...{ path, volume, readOnly, detail: detail && volumeOf(detail) },
    })),
    files: (json.files ?? []).map(({ path = '', filename = '', perm, user = '', group = '', detail }) => ({
      ...{ path, filename, perm: perm || '0755', user, group, detail: detail && fileOf(detail) },
    })),
    portMappings: [],
  };
}

function fileOf({ name = '', encoding = '', uri = '', content = '' }: FileJson): FileSpec {
  return { name, encoding, uri, content };
}

function limitOf(value: number): number {
  return value >= 2 ** 63 ? -1 : value;
}

function positive(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined;
}
