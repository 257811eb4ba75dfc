import { ApiError } from './api-error.ts';
import { readJsonLines } from './json-lines.ts';

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

type Message = ProgressMessage & {
  readonly error?: string;
  readonly errorDetail?: { readonly message?: string; readonly code?: number };
};

/** Reads the JSON messages of a stream, one a line. Throws ApiError for an error among them. */
export async function* readProgress(source: AsyncIterable<Uint8Array>): AsyncGenerator<ProgressMessage> {
  for await (const message of readJsonLines(source)) yield messageOf(message as Message);
}

function messageOf(message: Message): ProgressMessage {
  if (message.error === undefined && message.errorDetail === undefined) return message;
  const { errorDetail } = message;
  throw new ApiError(errorDetail?.code ?? 0, errorDetail?.message ?? message.error ?? 'unknown error');
}
