import type { Socket } from 'node:net';
import { HyperError, messageOf } from '../errors.ts';
import type { OutputStream } from '../guest/index.ts';
import type { ClientStreams } from '../pods/pod-service.ts';
import type { HijackedSession } from './call.ts';
import { untilDetachKeys } from './detach-keys.ts';
import { endFrame, stdcopyFrame, stdcopyHeader } from './stdcopy.ts';

const STATUS_AND_HEADERS = [
  'HTTP/1.1 101 UPGRADED',
  'Content-Type: application/vnd.docker.raw-stream',
  'Connection: Upgrade',
  'Upgrade: tcp',
];
/** How often a session looks whether its client is still there, in ms. */
const PROBE_INTERVAL_MS = 3_000;
/** How long a client may take to close its end of a session that is over, in ms. */
const CLOSE_GRACE_MS = 5_000;
/** How long a client may leave the last bytes of a session unread, in ms. */
const FLUSH_TIMEOUT_MS = 600_000;

/** The answer that hands a connection over. */
export function upgradeHead(headers: Readonly<Record<string, string>> = {}): string {
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return `${[...STATUS_AND_HEADERS, ...more].join('\r\n')}\r\n\r\n`;
}

/**
 * Runs `session` over `socket`, whose HTTP life is over, and closes the socket when the session has ended, whichever way.
 * Output obeys the client's pace; the client's half-close ends the input only. An error ends up as text on the stream.
 * Returns why the session failed, undefined when it did not. `shutdown`: the server closes.
 */
export async function runHijacked(
  socket: Socket,
  session: HijackedSession,
  shutdown: AbortSignal,
): Promise<unknown> {
  const gone = new AbortController();
  const abort = (): void => gone.abort();
  socket.once('close', abort);
  if (socket.destroyed) abort(); // while the session was being made
  shutdown.addEventListener('abort', abort, { once: true });
  socket.write(upgradeHead(session.headers));
  const stopProbing = probe(socket);
  const input = socketInput(socket);
  const client: ClientStreams = {
    input: session.detachKeys ? untilDetachKeys(input, abort) : input,
    write: (stream, chunk) => writeOutput(socket, session.framed ? stream : undefined, chunk),
    signal: gone.signal,
  };
  try {
    const end = await session.run(client);
    if (end && socket.writable) socket.write(endFrame(end));
    return undefined;
  } catch (error) {
    if (!socket.destroyed) socket.write(errorText(error, session.framed));
    return error;
  } finally {
    stopProbing();
    shutdown.removeEventListener('abort', abort);
    closeGently(socket, shutdown);
  }
}

/** Answers a hijacked route whose session cannot be had: 101, then the reason as text, then the end. */
export function refuseHijacked(socket: Socket, error: unknown, framed: boolean, shutdown: AbortSignal): void {
  socket.write(upgradeHead());
  socket.write(errorText(error, framed));
  closeGently(socket, shutdown);
}

/**
 * Looks now and then whether the client is still there, until the result is called. A client that has gone looks like one that has ended
 * its input only, and a silent process writes nothing that would show it: on a unix socket a write of no bytes fails, on TCP keep-alive does.
 */
function probe(socket: Socket): () => void {
  socket.setKeepAlive(true, 10 * PROBE_INTERVAL_MS);
  const timer = setInterval(() => {
    if (socket.writable && socket.writableLength === 0) socket.write('');
  }, PROBE_INTERVAL_MS);
  return () => clearInterval(timer);
}

async function* socketInput(socket: Socket): AsyncGenerator<Uint8Array> {
  try {
    yield* socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  } catch {
    // The connection broke: 'close' tells the session, and input just ends here.
  }
}

async function writeOutput(
  socket: Socket,
  frame: OutputStream | undefined,
  chunk: Uint8Array,
): Promise<void> {
  if (!socket.writable) throw new HyperError('canceled', 'write output: the client has gone');
  if (frame !== undefined) {
    socket.cork();
    socket.write(stdcopyHeader(frame, chunk.length));
  }
  const hasRoom = socket.write(chunk);
  if (frame !== undefined) socket.uncork();
  if (!hasRoom && socket.writableNeedDrain) await drained(socket);
}

function drained(socket: Socket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const closed = (): void => reject(new HyperError('canceled', 'write output: the client has gone'));
  socket.once('drain', resolve);
  socket.once('close', closed);
  return promise.finally(() => {
    socket.off('drain', resolve);
    socket.off('close', closed);
  });
}

function errorText(error: unknown, framed: boolean): Buffer {
  const text = Buffer.from(`${messageOf(error)}\n`);
  return framed ? stdcopyFrame('stderr', text) : text;
}

/**
 * Ends our side, drops what still comes in (closing a socket with unread input would reset the connection and lose output), and closes
 * for good when the client does or its time is over.
 */
function closeGently(socket: Socket, shutdown: AbortSignal): void {
  if (socket.destroyed) return;
  let timer = setTimeout(() => socket.destroy(), FLUSH_TIMEOUT_MS);
  const hurry = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => socket.destroy(), CLOSE_GRACE_MS);
  };
  socket.once('finish', hurry);
  shutdown.addEventListener('abort', hurry, { once: true });
  socket.once('close', () => {
    shutdown.removeEventListener('abort', hurry);
    clearTimeout(timer);
  });
  if (shutdown.aborted) hurry();
  const discard = (): void => {
    while (socket.read() !== null);
  };
  socket.on('readable', discard);
  discard();
  socket.end();
}
