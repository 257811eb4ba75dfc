import type { OptionSpec, Options } from './options.ts';
import { UsageError } from './usage-error.ts';

/** The option of commands that print for programs as well. */
export const JSON_FORMAT: OptionSpec = {
  name: 'format',
  value: 'json',
  help: 'print JSON objects, one a line',
};

/** undefined: for people. Throws UsageError. */
export function formatOption(options: Options): 'json' | undefined {
  const format = options.text('format');
  if (format === undefined || format === 'json') return format;
  throw new UsageError(`--format is "${format}", want json`);
}
