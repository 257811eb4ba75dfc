/** An error that the daemon answered, or reported in the course of a stream. */
export class ApiError extends Error {
  /** HTTP status; 0 for an error within a stream that had begun. */
  readonly status: number;
  /** The daemon's error code (`not-found`, `conflict`, …); undefined from daemons that do not tell. */
  readonly code: string | undefined;

  constructor(status: number, message: string, code?: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
  }
}

/** The daemon could not be reached, or the connection broke. */
export class ConnectionError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ConnectionError';
  }
}
