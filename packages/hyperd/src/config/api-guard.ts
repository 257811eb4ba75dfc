import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HyperError } from '../errors.ts';
import type { AccessRules } from './access-rules.ts';

const DEFAULT_TLS_DIRECTORY = '/etc/hyper/tls';
const DEFAULT_SOCKET_MODE = '660';

/** Who may reach the API and do what. */
export interface ApiGuardSettings {
  readonly rules: AccessRules;
  /** File of the audit log; undefined: none is kept. */
  readonly auditLog: string | undefined;
  /** Directory of the certificates; undefined: nothing listens on `tls://`. */
  readonly tlsDirectory: string | undefined;
  readonly socket: { readonly mode: number; readonly groupId: number | undefined };
}

/** Texts of flags or file, checked already. */
export interface GuardTexts {
  readonly root: string;
  readonly hosts: readonly string[];
  readonly rules: AccessRules;
  readonly tlsDirectory: string | undefined;
  readonly socketGroup: string | undefined;
  readonly socketMode: string | undefined;
  readonly auditLog: string | undefined;
}

/** Throws `invalid-argument` where the host has no such group. */
export function apiGuard(texts: GuardTexts): ApiGuardSettings {
  const listensOnTls = texts.hosts.some((host) => host.startsWith('tls:'));
  const auditLog = texts.auditLog ?? join(texts.root, 'audit.log');
  return {
    rules: texts.rules,
    auditLog: auditLog === 'none' ? undefined : auditLog,
    tlsDirectory: listensOnTls ? (texts.tlsDirectory ?? DEFAULT_TLS_DIRECTORY) : undefined,
    socket: {
      mode: Number.parseInt(texts.socketMode ?? DEFAULT_SOCKET_MODE, 8),
      groupId: texts.socketGroup === undefined ? undefined : groupIdOf(texts.socketGroup),
    },
  };
}

/** What a user should know of listeners that ask nobody who they are. */
export function hostWarnings(hosts: readonly string[], rules: AccessRules): string[] {
  const open = hosts.filter((host) => host.startsWith('tcp:') && !rules.has(host));
  return open.map((host) => `${host}: every user of this host may do all that this daemon may`);
}

function groupIdOf(name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  const id = line?.split(':')[2];
  if (id !== undefined) return Number(id);
  throw new HyperError(
    'invalid-argument',
    `find group "${name}" for the socket: /etc/group has none of that name`,
  );
}
