import { HyperError } from '../errors.ts';

/** Reads `seconds[.nanoseconds]` of unix time as nanoseconds. Throws `invalid-argument`. */
export function unixTimeNs(name: string, text: string): number {
  const [, seconds, fraction = ''] = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text) ?? [];
  if (seconds === undefined) {
    throw new HyperError(
      'invalid-argument',
      `read ${name} "${text}": want unix time as seconds[.nanoseconds]`,
    );
  }
  return Number(seconds) * 1e9 + Number(fraction.padEnd(9, '0'));
}
