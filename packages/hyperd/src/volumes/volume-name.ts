import { HyperError } from '../errors.ts';

const MAX_NAME_BYTES = 255;
const NAME = /^[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}_.\- ]*[\p{L}\p{M}\p{N}_.-])?$/u;

/**
 * Names of volumes are names of directories, and stand before a colon on hyperctl's command line: letters and digits of any script, `_`, `.`, `-`
 * and spaces inside, at most 255 bytes. Throws `invalid-argument`.
 */
export function checkVolumeName(name: string): void {
  if (NAME.test(name) && name.isWellFormed() && Buffer.byteLength(name) <= MAX_NAME_BYTES) return;
  const shown = name.length > MAX_NAME_BYTES ? `${name.slice(0, MAX_NAME_BYTES)}...` : name;
  throw new HyperError(
    'invalid-argument',
    `name volume "${shown}": want letters, digits, "_", ".", "-" and spaces inside, a letter, digit or "_" first, at most ${MAX_NAME_BYTES} bytes`,
  );
}
