import { posix } from 'node:path';
import type { InjectedFile } from '../guest/index.ts';
import type { ResolverSettings } from '../networks/host-resolver.ts';
import type { PodAddresses } from './pod-network.ts';
import type { ContainerSpec, PodSpec } from './spec/pod-spec.ts';

const HOSTS = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** The files that a container finds in its /etc: those of them that neither a file nor a volume of its own stands for. */
export function etcFiles(
  pod: PodSpec,
  container: ContainerSpec,
  host: ResolverSettings & PodAddresses,
): InjectedFile[] {
  const own = new Set([
    ...container.files.map(targetOf),
    ...container.volumes.map(({ path }) => plain(path)),
  ]);
  return [
    file('/etc/hosts', `${HOSTS}${host.address}\t${pod.hostname}\n`),
    file('/etc/hostname', `${pod.hostname}\n`),
    file('/etc/resolv.conf', resolvConf(pod, host)),
  ].filter(({ path }) => !own.has(path));
}

/**
 * A pod that names its servers gets nothing of the host's settings. Names of pods have no dot: they are looked up as they are before the search
 * list gets its turn, so that no domain in it takes them.
 */
function resolvConf({ dns, dnsSearch, dnsOptions }: PodSpec, host: ResolverSettings & PodAddresses): string {
  const { search, options: hostOptions } = dns.length > 0 ? { search: [], options: [] } : host;
  const options = host.knowsPods && dns.length === 0 ? [...hostOptions, 'ndots:0'] : hostOptions;
  const lines = (dns.length > 0 ? dns : [host.nameServer]).map((server) => `nameserver ${server}`);
  const searched = dnsSearch.length > 0 ? dnsSearch : search;
  const opted = dnsOptions.length > 0 ? dnsOptions : options;
  if (searched.length > 0) lines.push(`search ${searched.join(' ')}`);
  if (opted.length > 0) lines.push(`options ${opted.join(' ')}`);
  return `${lines.join('\n')}\n`;
}

function targetOf({ path, filename }: { readonly path: string; readonly filename: string }): string {
  return plain(path.endsWith('/') ? `${path}${filename}` : path);
}

/** The absolute path without what does not matter in it. */
function plain(path: string): string {
  const normal = posix.normalize(`/${path}`);
  return normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

function file(path: string, text: string): InjectedFile {
  return { path, content: Buffer.from(text), mode: 0o644, uid: 0, gid: 0 };
}
