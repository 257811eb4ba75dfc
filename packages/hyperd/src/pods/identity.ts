import { randomBytes } from 'node:crypto';
import type { GuestIdentity, InjectedFile } from '../guest/index.ts';
import { USER_MODE_ADDRESS, USER_MODE_DNS } from '../networks/user-mode.ts';
import type { PodSpec } from './spec/pod-spec.ts';

/** A new machine's own identity: no two clones of a template share it. */
export function identityOf(hostname: string): Omit<GuestIdentity, 'network'> {
  return { hostname, machineId: randomBytes(16).toString('hex') };
}

const HOSTS = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** The files that every container of a pod finds in its /etc. */
export function podFiles(spec: PodSpec): InjectedFile[] {
  return [
    file('/etc/hosts', `${HOSTS}${USER_MODE_ADDRESS}\t${spec.hostname}\n`),
    file('/etc/hostname', `${spec.hostname}\n`),
    file('/etc/resolv.conf', resolvConf(spec)),
  ];
}

function resolvConf(spec: PodSpec): string {
  const servers = spec.dns.length > 0 ? spec.dns : [USER_MODE_DNS];
  const lines = servers.map((server) => `nameserver ${server}`);
  if (spec.dnsSearch.length > 0) lines.push(`search ${spec.dnsSearch.join(' ')}`);
  if (spec.dnsOptions.length > 0) lines.push(`options ${spec.dnsOptions.join(' ')}`);
  return `${lines.join('\n')}\n`;
}

function file(path: string, text: string): InjectedFile {
  return { path, content: Buffer.from(text), mode: 0o644, uid: 0, gid: 0 };
}
