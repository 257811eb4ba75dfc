import type { ProgressMessage } from '@hyperd/client';
import { decimalSize } from './format.ts';
import { printable } from './table.ts';

const PLAIN_INTERVAL_MS = 5_000;
const BAR_WIDTH = 30;

/** What progress is written to. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** Reads a progress stream to its end, and shows it where there is an output. Throws what the stream throws. */
export async function showProgress(
  messages: AsyncIterable<ProgressMessage>,
  output: ProgressOutput | undefined,
): Promise<void> {
  const view = output && new ProgressView(output);
  for await (const message of messages) view?.show(message);
}

/**
 * Shows a progress stream: on a terminal one line a layer, drawn again in place; elsewhere a line for every change of status, and figures
 * of one layer at most every five seconds.
 */
export class ProgressView {
  readonly #output: ProgressOutput;
  readonly #now: () => number;
  readonly #lines = new Map<string, string>();
  readonly #plain = new Map<string, { status: string; at: number }>();

  constructor(output: ProgressOutput, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#now = now;
  }

  show(message: ProgressMessage): void {
    if (message.stream !== undefined) {
      this.#above(message.stream.replace(/\n$/, ''));
      return;
    }
    const { id, status, progressDetail } = message;
    if (status === undefined) return; // for programs
    if (id === undefined && progressDetail?.current === undefined) this.#above(printable(status));
    else if (this.#output.isTTY) this.#draw(id ?? '', this.#line(message));
    else this.#print(id ?? '', message);
  }

  /** A line that stays, above nothing: lines in place end here. */
  #above(text: string): void {
    this.#lines.clear();
    this.#output.write(`${text}\n`);
  }

  #draw(id: string, line: string): void {
    if (!this.#lines.has(id)) {
      this.#lines.set(id, line);
      this.#output.write(`${line}\n`);
      return;
    }
    if (this.#lines.get(id) === line) return;
    this.#lines.set(id, line);
    const up = this.#lines.size - [...this.#lines.keys()].indexOf(id);
    if (up >= (this.#output.rows ?? Number.POSITIVE_INFINITY)) return; // it has left the screen
    this.#output.write(`\x1b[${up}A\r\x1b[2K${line}\x1b[${up}B\r`);
  }

  #print(id: string, message: ProgressMessage): void {
    const { status = '' } = message;
    const last = this.#plain.get(id);
    const now = this.#now();
    const isDue = message.progressDetail?.current !== undefined && now - (last?.at ?? 0) >= PLAIN_INTERVAL_MS;
    if (last?.status === status && !isDue) return;
    this.#plain.set(id, { status, at: now });
    this.#output.write(`${this.#line(message)}\n`);
  }

  #line({ id, status = '', progressDetail }: ProgressMessage): string {
    const figures = this.#figures(progressDetail);
    const line = printable(
      `${id === undefined ? '' : `${id}: `}${status}${figures === '' ? '' : ` ${figures}`}`,
    );
    const { columns } = this.#output;
    return this.#output.isTTY && columns ? line.slice(0, columns - 1) : line;
  }

  #figures(detail: ProgressMessage['progressDetail']): string {
    if (detail?.current === undefined) return '';
    const { current, total } = detail;
    if (!total) return decimalSize(current);
    const text = `${decimalSize(current)}/${decimalSize(total)}`;
    if (!this.#output.isTTY) return text;
    const filled = Math.min(BAR_WIDTH, Math.floor((current / total) * BAR_WIDTH));
    return `[${'='.repeat(filled).padEnd(BAR_WIDTH)}] ${text}`;
  }
}
