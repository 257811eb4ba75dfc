import { HyperError } from '../errors.ts';

const MAX_TTY_SIZE = 65_535;

/** Rows or columns of a terminal. Throws `invalid-argument` with the parameter's name and the text it `was`. */
export function ttySize(name: string, size: number | undefined, was: string): number {
  if (size !== undefined && size >= 1 && size <= MAX_TTY_SIZE) return size;
  throw new HyperError('invalid-argument', `resize tty: "${name}" is "${was}", want 1 to ${MAX_TTY_SIZE}`);
}
