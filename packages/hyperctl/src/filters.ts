import type { Options } from './options.ts';
import { UsageError } from './usage-error.ts';

/** The values of `--filter KEY=VALUE`, by key. Throws UsageError. */
export function filtersOf(options: Options): Record<string, string[]> {
  const filters: Record<string, string[]> = {};
  for (const text of options.all('filter')) {
    const equals = text.indexOf('=');
    if (equals < 1) throw new UsageError(`--filter is "${text}", want KEY=VALUE`);
    const key = text.slice(0, equals);
    filters[key] = [...(filters[key] ?? []), text.slice(equals + 1)];
  }
  return filters;
}
