import { chmod, mkdir, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { HyperError } from '../errors.ts';

/** Where the API listens. */
export type Host =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number };

const SOCKET_MODE = 0o660;
const PROBE_TIMEOUT_MS = 2_000;

/** Reads `unix://PATH` or `tcp://ADDRESS:PORT`. Throws `invalid-argument`. */
export function parseHost(url: string): Host {
  const path = /^unix:\/\/(\/.+)$/.exec(url)?.[1];
  if (path) return { kind: 'unix', path };
  const [, bracketed, plain, port] =
    /^tcp:\/\/(?:\[([0-9a-fA-F:]+)\]|([^:/[\]]*)):(\d{1,5})\/?$/.exec(url) ?? [];
  if (port && Number(port) <= 65_535) {
    return { kind: 'tcp', address: bracketed ?? (plain || '127.0.0.1'), port: Number(port) };
  }
  throw new HyperError('invalid-argument', `read host "${url}": want unix:///PATH or tcp://ADDRESS:PORT`);
}

/**
 * Has `server` listen on `host`, and resolves with the URL that it can be reached at. A socket that nobody answers on is taken over;
 * one that is answered is a `conflict`.
 */
export async function listenOn(server: Server, host: Host): Promise<string> {
  if (host.kind === 'unix') return listenOnSocket(server, host.path);
  await listening(server, () => server.listen(host.port, host.address), `${host.address}:${host.port}`);
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : host.port;
  return `tcp://${host.address.includes(':') ? `[${host.address}]` : host.address}:${port}`;
}

async function listenOnSocket(server: Server, path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  if (await isAnswered(path)) {
    throw new HyperError('conflict', `listen on "${path}": another process answers there`);
  }
  await rm(path, { force: true });
  const previous = process.umask(0o777 & ~SOCKET_MODE);
  try {
    await listening(server, () => server.listen(path), path);
  } finally {
    process.umask(previous);
  }
  await chmod(path, SOCKET_MODE);
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
