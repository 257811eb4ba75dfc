import type { Options } from './options.ts';
import { UsageError } from './usage-error.ts';

export const TIME_HELP = 'a date, unix time, or a span before now such as 10m or 1h30m';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SPAN = /(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)/g;

/** The time that an option gives: unix time in seconds, a date (local unless it says otherwise), or a span before now. Throws UsageError. */
export function timeOption(options: Options, name: string, nowMs: number = Date.now()): Date | undefined {
  const text = options.text(name);
  if (text === undefined) return undefined;
  const ms = timeMs(text, nowMs);
  if (ms !== undefined && !Number.isNaN(new Date(ms).getTime())) return new Date(ms);
  throw new UsageError(`--${name} is "${text}", want ${TIME_HELP}`);
}

function timeMs(text: string, nowMs: number): number | undefined {
  if (/^\d+(?:\.\d{1,9})?$/.test(text)) return Number(text) * 1000;
  const parts = [...text.matchAll(SPAN)];
  if (parts.length > 0 && parts.map(([whole]) => whole).join('') === text) {
    const spans = parts.map(([, count, unit = '']) => Number(count) * (UNIT_MS[unit] ?? 0));
    return Math.max(0, nowMs - spans.reduce((sum, span) => sum + span, 0));
  }
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return undefined;
  // A day alone would be taken as UTC, a day with a time as local.
  return Date.parse(text.length === 'YYYY-MM-DD'.length ? `${text}T00:00` : text);
}
