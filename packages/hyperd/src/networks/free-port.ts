import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { HyperError, messageOf } from '../errors.ts';
import { type HostPort, hostPortText, type PortProtocol } from './port-forward.ts';
import { portHolder } from './port-holder.ts';

/** Asks the kernel for a port that nobody has at the moment. Throws as `requireFree`. */
export async function chooseFreePort(protocol: PortProtocol, hostAddress: string): Promise<number> {
  try {
    return await bindOnce({ protocol, hostAddress, hostPort: 0 });
  } catch (error) {
    throw new HyperError(
      'invalid-argument',
      `choose a ${protocol} port of ${hostAddress}: ${bindFailure(error)}`,
      { cause: error },
    );
  }
}

/**
 * Throws when the daemon, and so a machine, could not bind one of `ports` now: `conflict` where a process has it, naming that where /proc
 * tells; `invalid-argument` where the host has no such address; `forbidden` where privileges are missing.
 */
export async function requireFree(ports: readonly HostPort[]): Promise<void> {
  const results = await Promise.allSettled(ports.map(bindOnce));
  for (const [index, port] of ports.entries()) {
    const result = results[index];
    if (result?.status === 'rejected') throw await bindError(port, result.reason as NodeJS.ErrnoException);
  }
}

async function bindError(port: HostPort, error: NodeJS.ErrnoException): Promise<HyperError> {
  const what = `publish ${hostPortText(port)} of the host`;
  if (error.code === 'EADDRINUSE') {
    const holder = (await portHolder(port)) ?? 'another process';
    return new HyperError('conflict', `${what}: ${holder} has it`, { cause: error });
  }
  const code = error.code === 'EACCES' ? 'forbidden' : 'invalid-argument';
  return new HyperError(code, `${what}: ${bindFailure(error)}`, { cause: error });
}

function bindFailure(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRNOTAVAIL':
      return 'the host has no such address';
    case 'EACCES':
      return 'not permitted; ports below 1024 (net.ipv4.ip_unprivileged_port_start) are for root';
    default:
      return messageOf(error);
  }
}

/** Binds the port and lets it go. Resolves with its number. */
async function bindOnce({ protocol, hostAddress, hostPort }: HostPort): Promise<number> {
  if (protocol === 'udp') {
    const socket = createSocket({ type: 'udp4' });
    try {
      socket.bind({ port: hostPort, address: hostAddress, exclusive: true });
      await once(socket, 'listening');
      return socket.address().port;
    } finally {
      socket.close();
    }
  }
  const server = createServer((connection) => connection.destroy());
  server.listen({ port: hostPort, host: hostAddress, exclusive: true });
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const closed = once(server, 'close');
  server.close();
  await closed;
  return port;
}
