import type { Options } from './options.ts';
import { UsageError } from './usage-error.ts';

/** The values of an option of the form KEY=VALUE, in order. Throws UsageError. */
export function keyValues(options: Options, name: string): [key: string, value: string][] {
  return options.all(name).map((text) => {
    const equals = text.indexOf('=');
    if (equals < 1 || equals === text.length - 1) {
      throw new UsageError(`--${name} is "${text}", want KEY=VALUE`);
    }
    return [text.slice(0, equals), text.slice(equals + 1)];
  });
}

/** As an object; undefined where the option is not given. */
export function keyValueObject(options: Options, name: string): Record<string, string> | undefined {
  const pairs = keyValues(options, name);
  return pairs.length > 0 ? Object.fromEntries(pairs) : undefined;
}
