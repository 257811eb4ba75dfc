import { HyperError } from '../../errors.ts';

/** What is wrong with a Dockerfile, and where. */
export function parseError(line: number, what: string): HyperError {
  return new HyperError('invalid-argument', `dockerfile parse error on line ${line}: ${what}`);
}

/** Text of a Dockerfile for an error: short, and safe for a terminal. */
export function shown(text: string): string {
  const short = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return JSON.stringify(short);
}
