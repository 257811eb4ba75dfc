import { constants } from 'node:os';
import { HyperError } from './errors.ts';

/**
 * The number of `signal`: a number, or a name with or without `SIG`, in any case.
 * Throws `invalid-argument` for anything else.
 */
export function signalNumber(signal: string): number {
  if (/^\d+$/.test(signal)) {
    const number = Number(signal);
    if (number >= 1 && number <= 64) return number;
  }
  const name = signal.toUpperCase();
  const table: Readonly<Record<string, number>> = constants.signals;
  const number = table[name.startsWith('SIG') ? name : `SIG${name}`];
  if (number !== undefined) return number;
  const realTime = /^(?:SIG)?RTMIN\+(\d{1,2})$/.exec(name);
  if (realTime && Number(realTime[1]) <= 30) return 34 + Number(realTime[1]);
  throw new HyperError('invalid-argument', `read signal "${signal}": want a name such as TERM, or 1 to 64`);
}
