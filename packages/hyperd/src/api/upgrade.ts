import type { Server } from 'node:http';
import type { Socket } from 'node:net';

const HEAD_LIMIT_BYTES = 16 * 1024;
const HEAD_END = '\r\n\r\n';

/**
 * Makes `server` treat a request to one of the hijacked routes as an upgrade when it does not carry the headers of one: the original
 * never asked for them. They are put into the head of a connection's first request before the HTTP parser sees it, so that bytes
 * which follow the head at once are input as well.
 * `connected` is the event of `server` that brings a connection. `isHijacked` tells by method and URL; `headTimeoutMs` bounds the wait for a connection's first bytes. The result ends the connections
 * that have not sent them.
 */
export function upgradeHijackedRequests(
  server: Server,
  connected: 'connection' | 'secureConnection',
  isHijacked: (method: string, url: string) => boolean,
  headTimeoutMs: number,
): () => void {
  const silent = new Set<Socket>();
  const listeners = server.listeners(connected);
  server.removeAllListeners(connected);
  server.on(connected, (socket: Socket) => {
    silent.add(socket);
    socket.once('close', () => silent.delete(socket));
    readHead(socket, headTimeoutMs, (head) => {
      silent.delete(socket);
      socket.unshift(withUpgrade(head, isHijacked));
      for (const listener of listeners) listener.call(server, socket);
      socket.resume();
    });
  });
  return () => {
    for (const socket of silent) socket.destroy();
  };
}

/** Calls back with the first bytes: the whole head of a POST, as far as it comes within the bounds. */
function readHead(socket: Socket, timeoutMs: number, onHead: (head: Buffer) => void): void {
  let head = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const stop = (): void => {
    clearTimeout(timer);
    socket.off('data', take).off('end', end).off('error', stop).off('close', stop);
  };
  const end = (): void => {
    stop();
    socket.destroy();
  };
  const take = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    if (isIncompletePost(head)) return;
    stop();
    socket.pause();
    onHead(head);
  };
  socket.on('data', take).on('end', end).on('error', stop).on('close', stop);
}

function isIncompletePost(head: Buffer): boolean {
  if (head.length > HEAD_LIMIT_BYTES || head.includes(HEAD_END)) return false;
  return 'POST '.startsWith(head.toString('latin1', 0, 5));
}

function withUpgrade(head: Buffer, isHijacked: (method: string, url: string) => boolean): Buffer {
  const end = head.indexOf(HEAD_END);
  if (end < 0) return head;
  const [requestLine = '', ...headers] = head.toString('latin1', 0, end).split('\r\n');
  const [method = '', url = ''] = requestLine.split(' ');
  if (!isHijacked(method, url) || headers.some((line) => /^upgrade:/i.test(line))) return head;
  const upgraded = [requestLine, 'Connection: Upgrade', 'Upgrade: tcp', ...headers].join('\r\n');
  return Buffer.concat([Buffer.from(upgraded, 'latin1'), head.subarray(end)]);
}
