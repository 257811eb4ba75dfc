import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

const ANSWER_TIMEOUT_MS = 10_000;

/** `net-tool.c`, built for any image, as a file of a pod specification. */
export function netTool(): { readonly name: string; readonly encoding: string; readonly content: string } {
  const directory = mkdtempSync(join(tmpdir(), 'net-tool-'));
  try {
    const program = join(directory, 'net-tool');
    execFileSync('musl-gcc', ['-static', '-O1', '-o', program, join(import.meta.dirname, 'net-tool.c')]);
    return { name: 'net-tool', encoding: 'base64', content: readFileSync(program).toString('base64') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A pod whose one container runs `net-tool` with these arguments. */
export function netPod(id: string, args: readonly string[], more: object = {}): object {
  const files = [{ path: '/net-tool', filename: 'net-tool', perm: '0755' }];
  return {
    ...{ id, files: [netTool()], ...more },
    containers: [{ name: id, image: 'busybox', command: ['/net-tool', ...args], files }],
  };
}

/** Connects, sends `text`, ends its side, and resolves with all that comes back. */
export async function askTcp(port: number, text: string | Buffer = '', host = '127.0.0.1'): Promise<string> {
  const socket = connect({ port, host, allowHalfOpen: true });
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error('no answer')));
  try {
    await once(socket, 'connect');
    socket.end(text);
    return (await buffer(socket)).toString();
  } finally {
    socket.destroy();
  }
}

/** Sends datagrams with `text` until one is answered. */
export async function askUdp(port: number, text: string, host = '127.0.0.1'): Promise<string> {
  const socket = createSocket('udp4');
  const timer = setInterval(() => socket.send(text, port, host), 500);
  socket.send(text, port, host);
  try {
    const [answer] = await once(socket, 'message', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    return String(answer);
  } finally {
    clearInterval(timer);
    socket.close();
  }
}

/** An address of this host that is not the loopback one; undefined where it has none. */
export function hostAddress(family: 'IPv4' | 'IPv6' = 'IPv4'): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return addresses.find((entry) => !entry.internal && entry.family === family && !entry.scopeid)?.address;
}
