/** The closed list of what can go wrong, as callers can act on it. `api/` maps it to HTTP status codes. */
export type ErrorCode =
  | 'invalid-argument' // a request that can never work as it is
  | 'invalid-spec' // a pod or container specification that breaks a rule
  | 'not-found'
  | 'conflict' // the name or object is taken, or in use
  | 'precondition' // the object is in a state that does not allow the action
  | 'unauthorized'
  | 'forbidden'
  | 'unsupported'
  | 'limit' // a bound of ours would be passed
  | 'timeout'
  | 'canceled'
  | 'corrupt' // data that is not what its digest, format or schema says
  | 'machine' // the virtual machine or its agent failed
  | 'unavailable' // another party (registry, peer) cannot be reached or fails
  | 'internal';

/**
 * The one error type of the daemon. The message begins with the action and holds the value and what is allowed;
 * no final period. `cause` is the error below, for the log.
 */
export class HyperError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'HyperError';
    this.code = code;
  }
}

/** True when `error` is a HyperError, of `code` if one is given. */
export function isHyperError(error: unknown, code?: ErrorCode): error is HyperError {
  return error instanceof HyperError && (code === undefined || error.code === code);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
