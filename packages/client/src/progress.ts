import { ApiError } from './api-error.ts';

/** One message of Docker's progress stream. */
export interface ProgressMessage {
  readonly status?: string;
  /** What it is about: a layer, or the tag. */
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly progress?: string;
  readonly stream?: string;
  /** What a program wants to know of the result: `ID` of a load, `Tag`, `Digest` and `Size` of a push. */
  readonly aux?: Readonly<Record<string, string | number>>;
}

const MAX_LINE_LENGTH = 1024 * 1024;

/** Reads the JSON messages of a stream, one a line. Throws ApiError for an error among them. */
export async function* readProgress(source: AsyncIterable<Uint8Array>): AsyncGenerator<ProgressMessage> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of source) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    if (text.length > MAX_LINE_LENGTH) throw new Error('read progress: a line is too long');
    for (const line of lines) if (line.trim() !== '') yield messageOf(line);
  }
  if (text.trim() !== '') yield messageOf(text);
}

function messageOf(line: string): ProgressMessage {
  const message = JSON.parse(line) as ProgressMessage & {
    readonly error?: string;
    readonly errorDetail?: { readonly message?: string; readonly code?: number };
  };
  if (message.error === undefined && message.errorDetail === undefined) return message;
  const { errorDetail } = message;
  throw new ApiError(errorDetail?.code ?? 0, errorDetail?.message ?? message.error ?? 'unknown error');
}
