import type { OutputChunk, Session } from '@hyperd/client';
import type { Terminal } from './command.ts';
import { write } from './write.ts';

const CTRL_P = 0x10;
const CTRL_Q = 0x11;

/** Sees the keys that detach a terminal, also when they come in two reads. */
export class DetachWatch {
  #afterCtrlP = false;
  /** They have been typed. */
  detached = false;

  see(chunk: Uint8Array): void {
    for (const byte of chunk) {
      if (this.#afterCtrlP && byte === CTRL_Q) this.detached = true;
      this.#afterCtrlP = byte === CTRL_P;
    }
  }
}

export type SessionEnd = 'ended' | 'detached';

/**
 * Joins the terminal's streams to a session until its output ends: raw keys where both are terminals, output at the reader's pace. Input
 * that is still open is let go of. Throws BrokenPipeError when nobody reads our output.
 */
export async function joinSession(
  session: Session,
  { stdin, stdout, stderr }: Terminal,
  { tty }: { readonly tty: boolean },
): Promise<SessionEnd> {
  const watch = new DetachWatch();
  const leaveRawMode = tty && stdin.isTTY ? enterRawMode(stdin) : () => undefined;
  const stopInput = forwardInput(session, stdin, watch);
  try {
    for await (const { stream, bytes } of session.output) {
      await write(stream === 'stderr' ? stderr : stdout, bytes);
    }
    return tty && watch.detached ? 'detached' : 'ended';
  } finally {
    stopInput();
    leaveRawMode();
    session.close();
  }
}

/** Raw keys and raw output until the result is called. */
function enterRawMode(stdin: NodeJS.ReadStream): () => void {
  stdin.setRawMode(true);
  // An import would cost every session's start what few of them need.
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  // Node's raw mode goes on to turn LF into CR LF, which garbles full-screen programs. Without stty they look odd, no more.
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
  return () => void stdin.setRawMode(false);
}

function forwardInput({ input }: Session, stdin: NodeJS.ReadStream, watch: DetachWatch): () => void {
  const forward = (chunk: Buffer): void => {
    watch.see(chunk);
    if (!input.write(chunk)) {
      stdin.pause();
      input.once('drain', () => stdin.resume());
    }
  };
  const end = (): void => void input.end();
  stdin.on('data', forward).once('end', end).once('error', end);
  return () => {
    stdin.off('data', forward).off('end', end);
    input.removeAllListeners('drain');
    stdin.pause();
  };
}

/** Writes output without input. */
export async function writeOutput(
  output: AsyncIterable<OutputChunk>,
  { stdout, stderr }: Terminal,
): Promise<void> {
  for await (const { stream, bytes } of output) await write(stream === 'stderr' ? stderr : stdout, bytes);
}
