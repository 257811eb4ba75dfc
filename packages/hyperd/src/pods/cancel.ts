import { HyperError } from '../errors.ts';

/** `promise`, or a `canceled` rejection once `signal` is aborted; what the promise stands for goes on. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal, action: string): Promise<T> {
  const canceled = Promise.withResolvers<never>();
  const abort = (): void => canceled.reject(new HyperError('canceled', `${action}: canceled`));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, canceled.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
