import type { Digest } from '../../ids.ts';
import { type Answer, header, refusal } from './answers.ts';
import { Failure, locally } from './failure.ts';
import { pullScope } from './pull-manifest.ts';
import type { BlobSink } from './registry.ts';
import type { Session } from './session.ts';

/** The blob that is wanted. */
export interface WantedBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/**
 * One try to bring the rest of a blob (distribution-spec, pulling blobs; RFC 9110, section 14): it goes on behind what the sink has. Rejects with
 * Failure, which may be retried where the registry gave too little, and with LocalFailure for what the sink throws.
 */
export async function pullBlob(
  session: Session,
  path: string,
  { digest, sizeBytes }: WantedBlob,
  sink: BlobSink,
): Promise<void> {
  const from = sink.sizeBytes;
  if (from === sizeBytes && from > 0) return;
  const answer = await session.send({
    ...{ method: 'GET', url: `${path}/blobs/${digest}`, scopes: [pullScope(path)] },
    ...(from > 0 && { headers: { range: `bytes=${from}-` } }),
  });
  try {
    await checkHead(answer, sizeBytes, sink);
    for await (const chunk of answer.body) {
      const got = sink.sizeBytes + chunk.length;
      if (got > sizeBytes) throw tooLong(sizeBytes, `at least ${got}`);
      await locally(() => sink.append(chunk));
    }
  } catch (error) {
    await answer.discard();
    // What came before cannot be trusted either.
    if (error instanceof Failure && error.code === 'corrupt') await locally(() => sink.reset());
    throw error;
  }
  if (sink.sizeBytes < sizeBytes)
    throw new Failure('unavailable', `${answer.url.host} gave ${sink.sizeBytes} of ${sizeBytes} bytes`, {
      retry: 'soon',
    });
}

/** Makes sure that what comes goes on where the sink ends, or empties it for a body that is the whole blob. */
async function checkHead(answer: Answer, sizeBytes: number, sink: BlobSink): Promise<void> {
  const from = sink.sizeBytes;
  const restart = async (why: string): Promise<never> => {
    await locally(() => sink.reset());
    throw new Failure('unavailable', `${answer.url.host} ${why}`, { retry: 'soon' });
  };
  if (from > 0 && answer.status === 416) await restart(`has nothing behind byte ${from}`);
  if (answer.status === 206) {
    const range = parseContentRange(header(answer, 'content-range'));
    if (range?.first !== from) await restart(`was asked for bytes from ${from} on and gives others`);
    if (range?.total !== undefined && range.total > sizeBytes) throw tooLong(sizeBytes, `${range.total}`);
    return;
  }
  if (answer.status !== 200) throw await refusal(answer);
  if (from > 0) await locally(() => sink.reset());
  const announced = Number(header(answer, 'content-length'));
  if (announced > sizeBytes) throw tooLong(sizeBytes, `${announced}`);
}

function tooLong(expected: number, got: string): Failure {
  return new Failure('corrupt', `expected ${expected} bytes, got ${got}`);
}

/** `bytes FIRST-LAST/TOTAL` (RFC 9110, section 14.4); undefined for anything else. */
export function parseContentRange(
  value: string | undefined,
): { readonly first: number; readonly total: number | undefined } | undefined {
  const match = /^\s*bytes\s+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)\s*$/i.exec(value ?? '');
  if (!match) return undefined;
  const [, first, , total] = match;
  return { first: Number(first), total: total === '*' ? undefined : Number(total) };
}
