import { readdir, readFile, readlink } from 'node:fs/promises';
import { EVERY_ADDRESS, type HostPort } from './port-forward.ts';

/** States of a socket that holds a port, in /proc/net: listening (TCP), unconnected (UDP). */
const HOLDING = { tcp: '0A', udp: '07' } as const;
const ANY_IPV4 = '00000000';
const ANY_IPV6 = '0'.repeat(32);
const MAX_NAME_LENGTH = 32;

/** The process of the host that holds `port`, as a text such as `process 812 ("nginx")`; undefined where /proc does not tell. */
export async function portHolder(port: HostPort): Promise<string | undefined> {
  const inodes = await socketInodes(port);
  if (inodes.size === 0) return undefined;
  for (const pid of (await entries('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const fd of await entries(`/proc/${pid}/fd`)) {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(await link(`/proc/${pid}/fd/${fd}`)) ?? [];
      if (inode && inodes.has(inode)) return `process ${pid}${await nameOf(pid)}`;
    }
  }
  return undefined;
}

/** Inodes of the sockets that keep others from `port`. */
async function socketInodes({ protocol, hostAddress, hostPort }: HostPort): Promise<Set<string>> {
  const tables = await Promise.all([
    readFile(`/proc/net/${protocol}`, 'utf8').catch(() => ''), // a kernel without it tells nothing
    readFile(`/proc/net/${protocol}6`, 'utf8').catch(() => ''),
  ]);
  const inodes = new Set<string>();
  for (const line of tables.flatMap((table) => table.split('\n'))) {
    const socket = parseSocketLine(line);
    if (!socket || socket.port !== hostPort || socket.state !== HOLDING[protocol]) continue;
    const mine = hexOf(hostAddress);
    if (hostAddress === EVERY_ADDRESS || [mine, ANY_IPV4, ANY_IPV6].includes(socket.address))
      inodes.add(socket.inode);
  }
  return inodes;
}

export interface SocketLine {
  /** Hex digits, as the kernel writes them. */
  readonly address: string;
  readonly port: number;
  readonly state: string;
  readonly inode: string;
}

/** One line of /proc/net/tcp, udp, tcp6 or udp6; undefined for the heading and what else is none. */
export function parseSocketLine(line: string): SocketLine | undefined {
  const fields = line.trim().split(/\s+/);
  const [, local = '', , state = ''] = fields;
  const [address = '', port = ''] = local.split(':');
  const inode = fields[9] ?? '';
  if (!/^[0-9A-F]{8,32}$/.test(address) || !/^[0-9A-F]{4}$/.test(port) || !/^\d+$/.test(inode))
    return undefined;
  return { address, port: Number.parseInt(port, 16), state, inode };
}

/** An IPv4 address as the kernel writes it on a little-endian machine. */
function hexOf(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return bytes.reverse().join('').toUpperCase();
}

async function nameOf(pid: string): Promise<string> {
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => ''); // it may have just ended
  return name === ''
    ? ''
    : ` ("${name
        .trim()
        .replace(/\p{Cc}/gu, '?')
        .slice(0, MAX_NAME_LENGTH)}")`;
}

/** Names in a directory; none where it is gone or another user's. */
async function entries(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}

async function link(path: string): Promise<string> {
  return readlink(path).catch(() => '');
}
