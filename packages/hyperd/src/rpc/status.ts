import { status } from '@grpc/grpc-js';
import { type ErrorCode, HyperError } from '../errors.ts';
import { hostFailure } from '../host-failure.ts';

/** gRPC's code of every error code. */
const CODE: Readonly<Record<ErrorCode, status>> = {
  'invalid-argument': status.INVALID_ARGUMENT,
  'invalid-spec': status.INVALID_ARGUMENT,
  'not-found': status.NOT_FOUND,
  conflict: status.ALREADY_EXISTS,
  precondition: status.FAILED_PRECONDITION,
  unauthorized: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  unsupported: status.UNIMPLEMENTED,
  limit: status.RESOURCE_EXHAUSTED,
  timeout: status.DEADLINE_EXCEEDED,
  canceled: status.CANCELLED,
  corrupt: status.DATA_LOSS,
  machine: status.INTERNAL,
  unavailable: status.UNAVAILABLE,
  internal: status.INTERNAL,
};

export interface RpcStatus {
  readonly code: status;
  readonly details: string;
}

/** What a client is told of `error`. The message of an error that is not ours stays in the log. */
export function rpcStatus(error: unknown): RpcStatus {
  const known = error instanceof HyperError ? error : hostFailure(error);
  if (known) return { code: CODE[known.code], details: known.message };
  return { code: status.INTERNAL, details: 'internal error' };
}
