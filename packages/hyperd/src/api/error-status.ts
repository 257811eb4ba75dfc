import { type ErrorCode, HyperError } from '../errors.ts';
import { hostFailure } from '../host-failure.ts';

/**
 * HTTP status of every error code. Routes whose clients depend on another one say so in their definition (`statuses`).
 * What is our or another party's failure is 500, as the original's clients know it.
 */
const STATUS: Readonly<Record<ErrorCode, number>> = {
  'invalid-argument': 400,
  'invalid-spec': 500, // the original's status for every specification that breaks a rule
  'not-found': 404,
  conflict: 409,
  precondition: 412,
  unauthorized: 401,
  forbidden: 403,
  unsupported: 501,
  limit: 500, // as the original's "There have already been 1024 running Pods"
  timeout: 500,
  canceled: 500, // its client has gone, as a rule
  corrupt: 500,
  machine: 500,
  unavailable: 500,
  internal: 500,
};

export type StatusOverrides = Partial<Readonly<Record<ErrorCode, number>>>;

export interface ErrorAnswer {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
}

/** What a client is told of `error`. The message of an error that is not ours stays in the log. */
export function errorAnswer(error: unknown, overrides: StatusOverrides = {}): ErrorAnswer {
  const known = error instanceof HyperError ? error : hostFailure(error);
  if (known) {
    return { status: overrides[known.code] ?? STATUS[known.code], code: known.code, message: known.message };
  }
  const status = clientErrorStatus(error);
  if (status === undefined) return { status: 500, code: 'internal', message: 'internal error' };
  return { status, code: 'invalid-argument', message: (error as Error).message };
}

/** The 4xx status that the HTTP framework gave an error of the request itself. */
function clientErrorStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}
