import { HyperError } from '../errors.ts';
import type { Parameters } from './parameters.ts';

const MAX_SECONDS = 86_400;

/** Names and meaning of the parameter, for the document. */
export const GRACE = {
  'timeout/t': 'seconds between stop signal and SIGKILL (default 5; 0: SIGKILL at once; not in the original)',
};

/** What a call says of the time between stop signal and SIGKILL; nothing where it says nothing. Throws `invalid-argument`. */
export function graceOf(parameters: Parameters): { readonly graceMs?: number } {
  const text = parameters.text('timeout', 't').trim();
  if (text === '') return {};
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (seconds <= MAX_SECONDS) return { graceMs: seconds * 1000 };
  throw new HyperError('invalid-argument', `read timeout "${text}": want whole seconds, 0 to ${MAX_SECONDS}`);
}
