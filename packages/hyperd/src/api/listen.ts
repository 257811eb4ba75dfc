import { chmod, lchown, lstat, mkdir, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { HyperError } from '../errors.ts';

/** Where the API listens. */
export type Host =
  | { readonly kind: 'unix'; readonly path: string }
  /** `tls`: encrypted, and only for clients with a certificate. */
  | { readonly kind: 'tcp' | 'tls'; readonly address: string; readonly port: number };

/** How sockets are guarded. */
export interface SocketGuard {
  /** Permission bits. */
  readonly mode: number;
  /** Id of the group that owns it; undefined: the daemon's own. */
  readonly groupId: number | undefined;
}

/** For the daemon's user and group. */
export const DEFAULT_GUARD: SocketGuard = { mode: 0o660, groupId: undefined };
const PROBE_TIMEOUT_MS = 2_000;

/** Reads `unix://PATH`, `tcp://ADDRESS:PORT` or `tls://ADDRESS:PORT`. Throws `invalid-argument`. */
export function parseHost(url: string): Host {
  const path = /^unix:\/\/(\/.+)$/.exec(url)?.[1];
  if (path) return { kind: 'unix', path };
  const [, kind, bracketed, plain, port] =
    /^(tcp|tls):\/\/(?:\[([0-9a-fA-F:]+)\]|([^:/[\]]*)):(\d{1,5})\/?$/.exec(url) ?? [];
  if (port && Number(port) <= 65_535) {
    return {
      ...{ kind: kind as 'tcp' | 'tls', address: bracketed ?? (plain || '127.0.0.1'), port: Number(port) },
    };
  }
  throw new HyperError(
    'invalid-argument',
    `read host "${url}": want unix:///PATH, tcp://ADDRESS:PORT or tls://ADDRESS:PORT`,
  );
}

/**
 * Has `server` listen on `host`, and resolves with the URL that it can be reached at. A socket that nobody answers on is taken over;
 * one that is answered is a `conflict`.
 */
export async function listenOn(server: Server, host: Host, guard = DEFAULT_GUARD): Promise<string> {
  if (host.kind === 'unix') return listenOnSocket(server, host.path, guard);
  await listening(server, () => server.listen(host.port, host.address), `${host.address}:${host.port}`);
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : host.port;
  return `${host.kind}://${host.address.includes(':') ? `[${host.address}]` : host.address}:${port}`;
}

async function listenOnSocket(server: Server, path: string, guard: SocketGuard): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  if (await isAnswered(path)) {
    throw new HyperError('conflict', `listen on "${path}": another process answers there`);
  }
  await rm(path, { force: true });
  const previous = process.umask(0o777); // nobody's until it has its group
  try {
    await listening(server, () => server.listen(path), path);
  } finally {
    process.umask(previous);
  }
  if (guard.groupId !== undefined) await lchown(path, (await lstat(path)).uid, guard.groupId);
  await chmod(path, guard.mode);
  return `unix://${path}`;
}

function listening(server: Server, listen: () => void, where: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (error: NodeJS.ErrnoException): void => {
    const code = error.code === 'EADDRINUSE' ? 'conflict' : 'internal';
    reject(new HyperError(code, `listen on "${where}": ${error.message}`, { cause: error }));
  };
  server.once('error', fail);
  server.once('listening', resolve);
  listen();
  return promise.finally(() => {
    server.off('error', fail);
    server.off('listening', resolve);
  });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const answer = (answered: boolean): void => {
      probe.destroy();
      resolve(answered);
    };
    probe.setTimeout(PROBE_TIMEOUT_MS, () => answer(true));
    probe.once('connect', () => answer(true));
    probe.once('error', () => answer(false));
  });
}
