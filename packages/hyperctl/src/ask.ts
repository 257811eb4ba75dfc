import type { Terminal } from './command.ts';
import { InterruptedError } from './signals.ts';

const MAX_ANSWER_BYTES = 64 * 1024;
const [CTRL_C, CTRL_D, BACKSPACE, CTRL_U, LF, CR, DELETE] = [3, 4, 8, 21, 10, 13, 127];

/** A line that the user types, asked for on stderr. Throws an Error when the input ends before. */
export async function ask(question: string, { stdin, stderr }: Terminal): Promise<string> {
  stderr.write(question);
  const line = await readLine(stdin);
  if (line === undefined) throw new Error(`read "${question.trim()}": the input has ended`);
  return line.toString('utf8').trim();
}

/** As `ask`, and nothing of it is shown. Throws InterruptedError for Ctrl-C. */
export async function askSecret(question: string, { stdin, stderr }: Terminal): Promise<string> {
  stdin.setRawMode(true); // before the question: whoever answers it at once is not shown either
  try {
    stderr.write(question);
    const line = await readLine(stdin);
    if (line === undefined) throw new Error(`read "${question.trim()}": the input has ended`);
    return line.toString('utf8');
  } finally {
    stdin.setRawMode(false);
    stderr.write('\n');
  }
}

/** Bytes up to the end of a line; undefined: the input has ended. */
function readLine(stdin: NodeJS.ReadStream): Promise<Buffer | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
  const line = new TypedLine();
  const stop = (): void => {
    stdin.off('data', take).off('end', end).off('error', reject);
    stdin.pause();
  };
  const end = (): void => {
    stop();
    resolve(undefined);
  };
  const take = (chunk: Buffer): void => {
    const used = line.take(chunk);
    if (line.state === 'open') return;
    stop();
    if (line.state === 'interrupted') reject(new InterruptedError('SIGINT'));
    else resolve(line.state === 'entered' ? line.bytes() : undefined);
    stdin.unshift(chunk.subarray(used)); // the answer to the next question, where both were pasted
  };
  stdin.on('data', take).once('end', end).once('error', reject).resume();
  return promise;
}

/** A line on its way in. Keys that a terminal in raw mode does not act upon are acted upon here. */
export class TypedLine {
  readonly #typed: number[] = [];
  #state: 'open' | 'entered' | 'interrupted' | 'ended' = 'open';

  get state(): 'open' | 'entered' | 'interrupted' | 'ended' {
    return this.#state;
  }

  bytes(): Buffer {
    return Buffer.from(this.#typed);
  }

  /** Takes bytes until the line is over; returns how many. */
  take(chunk: Buffer): number {
    let taken = 0;
    for (const byte of chunk) {
      if (this.#state !== 'open') break;
      taken++;
      this.#key(byte);
    }
    return taken;
  }

  #key(byte: number): void {
    if (byte === LF || byte === CR) this.#state = 'entered';
    else if (byte === CTRL_C) this.#state = 'interrupted';
    else if (byte === CTRL_D && this.#typed.length === 0) this.#state = 'ended';
    else if (byte === CTRL_U) this.#typed.length = 0;
    else if (byte === BACKSPACE || byte === DELETE) this.#dropCharacter();
    else if (this.#typed.length < MAX_ANSWER_BYTES) this.#typed.push(byte);
  }

  /** The last character goes as a whole, whatever its number of bytes in UTF-8. */
  #dropCharacter(): void {
    while (((this.#typed.pop() ?? 0) & 0xc0) === 0x80);
  }
}
