import type { ErrorCode } from '../../errors.ts';

/** Whether another try may end better; `afterMs`: the other side says when. */
export type Retry = 'never' | 'soon' | { readonly afterMs: number };

/**
 * Why one try with a registry failed. It stays inside this folder: `retried` makes the HyperError of it, whose message begins with the action.
 */
export class Failure extends Error {
  readonly code: ErrorCode;
  readonly retry: Retry;

  constructor(code: ErrorCode, message: string, options: { retry?: Retry; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'Failure';
    this.code = code;
    this.retry = options.retry ?? 'never';
  }
}

/** An error of our own side, such as a full disk: no other try and no other registry mends it. */
export class LocalFailure extends Error {
  constructor(cause: unknown) {
    super('local failure', { cause });
    this.name = 'LocalFailure';
  }
}

/** Runs work of our own side; what it throws is told apart from what the registry does wrong. */
export async function locally<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new LocalFailure(error);
  }
}
