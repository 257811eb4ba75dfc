/** How long a registry is waited for. */
export interface Timing {
  /** For a connection, its TLS and its way through a proxy. */
  readonly connectMs: number;
  /** For an answer to begin once a request has been sent. */
  readonly headersMs: number;
  /** As `headersMs`, where the registry may have to hash or copy a whole blob before it can answer. */
  readonly commitMs: number;
  /** Between two pieces of a body. */
  readonly idleMs: number;
  /** Before the second try; doubled with each further one. */
  readonly firstDelayMs: number;
  /** The longest wait before a try, whatever the registry asks for. */
  readonly maxDelayMs: number;
}

export const DEFAULT_TIMING: Timing = {
  connectMs: 15_000,
  headersMs: 60_000,
  commitMs: 600_000,
  idleMs: 60_000,
  firstDelayMs: 250,
  maxDelayMs: 60_000,
};
