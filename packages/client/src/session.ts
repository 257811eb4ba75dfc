import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { demultiplex, type OutputChunk, undivided } from './demultiplex.ts';

/**
 * A connection that is a process's input and output. `input.end()` ends the process's stdin only; `output` ends with the process (or
 * when the terminal was detached). Whoever opened it reads `output` to its end, or closes it.
 */
export interface Session extends Disposable {
  readonly input: Writable;
  /** To be read once. */
  readonly output: AsyncIterable<OutputChunk>;
  readonly headers: IncomingHttpHeaders;
  /** Drops the connection; the process goes on. Repeatable. */
  close(): void;
}

/** A process in a machine, whose exit code can be asked for. */
export interface MachineSession extends Session {
  readonly exec: string;
}

/** A process in a container, with the ids to ask for its exit code. */
export interface ExecSession extends MachineSession {
  readonly container: string;
}

export function openSession(
  socket: Socket,
  head: Buffer,
  headers: IncomingHttpHeaders,
  framed: boolean,
): Session {
  if (head.length > 0) socket.unshift(head);
  socket.on('error', () => socket.destroy()); // told to the reader of the output, if there is one
  const close = (): void => void socket.destroy();
  return {
    input: socket,
    output: framed ? demultiplex(socket) : undivided(socket),
    headers,
    close,
    [Symbol.dispose]: close,
  };
}
