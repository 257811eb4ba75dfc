import { isIP, isIPv4 } from 'node:net';
import { HyperError } from '../../errors.ts';
import { USER_MODE_ADDRESS } from '../../networks/user-mode.ts';
import { checkLogChoice } from '../logs/log-settings.ts';
import type { RestartPolicy } from './pod-spec.ts';
import { checkProcess } from './process-rules.ts';
import type { ContainerJson, PodJson, ServicesJson } from './schema.ts';
import { checkCache, checkVolume, checkVolumeReferences } from './volume-rules.ts';

const MAX_HOSTNAME_LENGTH = 63;
const HOSTNAME_SEGMENT = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
const POD_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const MAX_ID_LENGTH = 128;
const CONTAINER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const MAX_CONTAINER_NAME_LENGTH = 255;
const DNS_DOMAIN = /^(?:\.|[a-zA-Z0-9_-]+(?:\.[a-zA-Z0-9_-]+)*\.?)$/;
const DNS_OPTION = /^[a-z0-9-]+(?::\d+)?$/;
const MAX_DNS_ENTRIES = 32;
const MAX_SERVICES = 256;
const MAX_BACKENDS = 256;
const PERMISSION = /^[0-7]{1,5}$/;

/**
 * The rules of a pod specification beyond its types, in the original's order and with its texts (API-FACTS 5.7). Throws `invalid-spec`.
 */
export function checkPod(pod: PodJson): void {
  if (pod.id) checkPodId(pod.id);
  if (pod.hostname) checkHostname(pod.hostname);
  checkInterfaces(pod.interfaces ?? []);
  const volumes = namesOf(pod.volumes ?? [], 'Volumes name does not unique', 'volumes');
  const files = namesOf(pod.files ?? [], 'Files name does not unique', 'files');
  checkServices(pod.services ?? []);
  checkLogChoice({ type: pod.log?.type ?? '', config: pod.log?.config ?? {} }, 'log');
  const names = new Set<string>();
  for (const [index, container] of (pod.containers ?? []).entries()) {
    checkContainer(container, `containers[${index}]`, { volumes, files });
    const { name } = container;
    if (name && names.has(name)) refuse(`containers[${index}].name "${name}" is used twice in the pod`);
    if (name) names.add(name);
  }
  for (const volume of pod.volumes ?? []) checkVolume(volume);
  checkDns(pod);
}

/** What files and volumes of the pod a container may refer to. */
export interface PodNames {
  readonly volumes: ReadonlySet<string>;
  readonly files: ReadonlySet<string>;
}

/** The rules of one container. Throws `invalid-spec`; `place` is where it stands. */
export function checkContainer(container: ContainerJson, place: string, pod: PodNames): void {
  const at = place ? `${place}.` : '';
  if (container.name) checkContainerName(container.name, `${at}name`);
  if (!container.image) refuse(`"${at}image" is missing: a container needs an image`);
  const envs = new Set<string>();
  for (const [index, { env, value }] of (container.envs ?? []).entries()) {
    if (!env || /[=\0]/.test(env))
      refuse(`"${at}envs[${index}].env" is "${env ?? ''}", want a name without "="`);
    if (value?.includes('\0')) refuse(`"${at}envs[${index}].value" has a NUL character`);
    if (envs.has(env)) refuse(`environment name are not unique: "${env}"`);
    envs.add(env);
  }
  checkProcess(container, at);
  checkFiles(container, at, pod.files);
  checkVolumeReferences(container, at, pod.volumes);
  if (container.cache) checkCache(container.cache, `${at}cache`);
}

/** `text` as a restart policy, in any case; empty is `never`. Throws `invalid-spec`. */
export function restartPolicyOf(text: string | undefined, place: string): RestartPolicy {
  switch ((text ?? '').toLowerCase()) {
    case '':
    case 'no':
    case 'never':
      return 'never';
    case 'onfailure':
    case 'on-failure':
      return 'onFailure';
    case 'always':
      return 'always';
    default:
      return refuse(`"${place}" is "${text}", want never, onFailure or always`);
  }
}

/** Docker's rule for names. Throws `invalid-spec`. */
export function checkContainerName(name: string, place: string): void {
  if (CONTAINER_NAME.test(name) && name.length <= MAX_CONTAINER_NAME_LENGTH) return;
  refuse(
    `"${place}" is "${name.slice(0, MAX_CONTAINER_NAME_LENGTH)}", want [a-zA-Z0-9][a-zA-Z0-9_.-]+ of at most ${MAX_CONTAINER_NAME_LENGTH} characters`,
  );
}

function checkPodId(id: string): void {
  if (POD_ID.test(id) && id.length <= MAX_ID_LENGTH) return;
  refuse(
    `"id" is "${id.slice(0, MAX_ID_LENGTH)}", want [a-zA-Z0-9][a-zA-Z0-9_.-]* of at most ${MAX_ID_LENGTH} characters`,
  );
}

function checkHostname(hostname: string): void {
  if (hostname.length > MAX_HOSTNAME_LENGTH)
    refuse(`Hostname exceeds the maximum length ${MAX_HOSTNAME_LENGTH}, len: ${hostname.length}`);
  if (hostname.split('.').every((segment) => HOSTNAME_SEGMENT.test(segment))) return;
  refuse(`Hostname should fullfil the pattern: [a-z0-9]([-a-z0-9]*[a-z0-9])?, input hostname: ${hostname}`);
}

function checkDns({ dns = [], dnsSearch = [], dnsOptions = [] }: PodJson): void {
  for (const server of dns) if (isIP(server) === 0) refuse(`incorrect dns ${server}.`);
  for (const [key, entries] of Object.entries({ dns, dnsSearch, dnsOptions }))
    if (entries.length > MAX_DNS_ENTRIES)
      refuse(`"${key}" has ${entries.length} entries, want at most ${MAX_DNS_ENTRIES}`);
  for (const [index, domain] of dnsSearch.entries())
    if (!DNS_DOMAIN.test(domain))
      refuse(`"dnsSearch[${index}]" is "${domain.slice(0, 64)}", want a domain such as example.org`);
  for (const [index, option] of dnsOptions.entries())
    if (!DNS_OPTION.test(option))
      refuse(`"dnsOptions[${index}]" is "${option.slice(0, 64)}", want an option such as ndots:2`);
}

function checkInterfaces(interfaces: NonNullable<PodJson['interfaces']>): void {
  let gateways = 0;
  for (const [index, { bridge, ip, gateway }] of interfaces.entries()) {
    if (bridge && !ip) refuse('if configured a bridge, must specify the IP address');
    if (gateway && ++gateways > 1)
      refuse(`in interface ${index}, Other interface already configured Gateway`);
  }
}

function namesOf(
  entries: readonly { readonly name?: string }[],
  notUnique: string,
  place: string,
): Set<string> {
  const names = new Set<string>();
  for (const [index, { name }] of entries.entries()) {
    if (!name) refuse(`"${place}[${index}].name" is missing`);
    if (names.has(name)) refuse(`${notUnique}: "${name}"`);
    names.add(name);
  }
  return names;
}

/** The rules of a list of services. Throws `invalid-spec`. */
export function checkServices(services: ServicesJson): void {
  const keys = new Set<string>();
  if (services.length > MAX_SERVICES)
    refuse(`"services" has ${services.length} entries, at most ${MAX_SERVICES} are allowed`);
  for (const [index, { serviceIP, servicePort, protocol = 'tcp', hosts = [] }] of services.entries()) {
    checkEndpoint(serviceIP, servicePort, `services[${index}]`);
    if (hosts.length > MAX_BACKENDS)
      refuse(`"services[${index}].hosts" has ${hosts.length} entries, at most ${MAX_BACKENDS} are allowed`);
    for (const [at, { hostIP, hostPort }] of hosts.entries()) {
      const place = `services[${index}].hosts[${at}]`;
      checkEndpoint(hostIP, hostPort, place);
      if (hostIP === USER_MODE_ADDRESS || hostIP?.startsWith('127.'))
        refuse(`"${place}" is the pod itself (${hostIP}): its kernel balances only what leaves it`);
    }
    checkOneOf(protocol.toLowerCase(), ['tcp', 'udp'], `services[${index}].protocol`);
    const key = `${serviceIP}:${servicePort}@${protocol.toLowerCase()}`;
    if (keys.has(key)) refuse('Services IP:Port@Protocol combination does not unique');
    keys.add(key);
  }
}

/** The kernel's balancer is asked in a way that knows IPv4 only. */
function checkEndpoint(address = '', port = 0, place: string): void {
  if (isIPv4(address) && address !== '0.0.0.0' && port > 0) return;
  refuse(`"${place}" is "${address}:${port}", want an IPv4 address and a port from 1 to 65535`);
}

function checkFiles(container: ContainerJson, at: string, files: ReadonlySet<string>): void {
  for (const [index, { filename, path, perm, detail }] of (container.files ?? []).entries()) {
    if (!path) refuse(`"${at}files[${index}].path" is missing`);
    if (!detail && !files.has(filename ?? '')) refuse(`file ${filename} does not exist in file list.`);
    if (perm && !PERMISSION.test(perm)) refuse(`the permission ${perm} only accept Octal digital in string`);
  }
}

function checkOneOf(value: string, allowed: readonly string[], place: string): void {
  if (!allowed.includes(value)) refuse(`"${place}" is "${value}", want one of ${allowed.join(', ')}`);
}

function refuse(message: string): never {
  throw new HyperError('invalid-spec', message);
}
