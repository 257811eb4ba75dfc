import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { demultiplex, type OutputChunk, type ProcessEnd, undivided } from './demultiplex.ts';
import { withResolvers } from './with-resolvers.ts';

/**
 * A connection that is a process's input and output. `input.end()` ends the process's stdin only; `output` ends with the process (or
 * when the terminal was detached). Whoever opened it reads `output` to its end, or closes it.
 */
export interface Session extends Disposable {
  readonly input: Writable;
  /** To be read once. */
  readonly output: AsyncIterable<OutputChunk>;
  readonly headers: IncomingHttpHeaders;
  /** Resolves once a process that `run` began has been started, with `ended` where it has not; `output` tells, so it has to be read meanwhile. */
  readonly started: Promise<void>;
  /**
   * How a process that `run` or `exec` began has ended; resolves when `output` has been read to its end. undefined: the daemon does not tell, as it let go of
   * the connection before (a detached terminal, or its own end), or the session was joined by other means.
   */
  readonly ended: Promise<ProcessEnd | undefined>;
  /** Drops the connection; the process goes on. Repeatable. */
  close(): void;
}

/** A pod that was made for one process, with the ids of both. */
export interface RunSession extends Session {
  readonly pod: string;
  readonly container: string;
  readonly tty: boolean;
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
  const started = withResolvers<void>();
  const ended = withResolvers<ProcessEnd | undefined>();
  const news = { started: () => started.resolve(), ended: ended.resolve };
  const close = (): void => void socket.destroy();
  return {
    input: socket,
    output: withEnd(framed ? demultiplex(socket, news) : undivided(socket), () => {
      ended.resolve(undefined);
      started.resolve();
    }),
    headers,
    started: started.promise,
    ended: ended.promise,
    close,
    [Symbol.dispose]: close,
  };
}

/** `source`; `onEnd` when it has been read to its end, or is not read on. */
async function* withEnd<T>(source: AsyncIterable<T>, onEnd: () => void): AsyncGenerator<T> {
  try {
    yield* source;
  } finally {
    onEnd();
  }
}
