import { keyValues } from './key-values.ts';
import type { OptionSpec, Options } from './options.ts';

/** The option that `filtersOf` reads. */
export function filterOption(keys: string): OptionSpec {
  return { name: 'filter', short: 'f', value: 'KEY=VALUE', repeats: true, help: `only what has it: ${keys}` };
}

/** The values of `--filter KEY=VALUE`, by key; undefined where there are none. Throws UsageError. */
export function filtersOf(options: Options): Readonly<Record<string, readonly string[]>> | undefined {
  const filters = new Map<string, string[]>();
  for (const [key, value] of keyValues(options, 'filter'))
    filters.set(key, [...(filters.get(key) ?? []), value]);
  return filters.size > 0 ? Object.fromEntries(filters) : undefined;
}
