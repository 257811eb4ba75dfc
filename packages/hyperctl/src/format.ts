import type { OptionSpec, Options } from './options.ts';
import { UsageError } from './usage-error.ts';

const DECIMAL_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** A size in decimal units with up to four digits: `1.234 MB`. */
export function decimalSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < DECIMAL_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(4))} ${DECIMAL_UNITS[unit]}`;
}

/** `2026-01-02 03:04:05`, local time. */
export function localTime(date: Date): string {
  const two = (number: number): string => String(number).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')}`;
}

/** Objects as JSON, one a line. */
export function jsonLines(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

/** The option that `listFormat` reads. */
export const LIST_FORMAT: OptionSpec = {
  name: 'format',
  value: 'FORMAT',
  help: 'table (the default) or json: one object a line',
};

/** What --format says of a list. Throws UsageError. */
export function listFormat(options: Options): 'table' | 'json' {
  const format = options.text('format') ?? 'table';
  if (format === 'table' || format === 'json') return format;
  throw new UsageError(`--format is "${format}", want table or json`);
}
