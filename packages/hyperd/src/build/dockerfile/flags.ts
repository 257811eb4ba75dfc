import { parseError, shown } from './parse-error.ts';

/** An instruction's `--name=value` options, in order. */
export type Flags = readonly { readonly name: string; readonly value: string | undefined }[];

/** Takes the flags off the front of an instruction's text. Quotes hold blanks together; an escape takes the next character as it is. */
export function takeFlags(
  text: string,
  escapeChar: string,
): { readonly flags: Flags; readonly rest: string } {
  const flags: { name: string; value: string | undefined }[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && /\s/.test(text[at] as string)) at++;
    if (!text.startsWith('--', at)) break;
    const { word, end } = takeWord(text, at, escapeChar);
    at = end;
    if (word === '--') break;
    const equals = word.indexOf('=');
    flags.push(
      equals < 0
        ? { name: word.slice(2), value: undefined }
        : { name: word.slice(2, equals), value: word.slice(equals + 1) },
    );
  }
  return { flags, rest: text.slice(at).trim() };
}

function takeWord(
  text: string,
  from: number,
  escapeChar: string,
): { readonly word: string; readonly end: number } {
  let word = '';
  let quote = '';
  let at = from;
  for (; at < text.length; at++) {
    const char = text[at] as string;
    if (quote === '' && /\s/.test(char)) break;
    if (char === escapeChar && quote !== "'" && at + 1 < text.length) word += text[++at];
    else if (quote === char) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
    else word += char;
  }
  return { word, end: at };
}

/** The flags that an instruction knows. Throws for others, and for one that comes twice without being allowed to. */
export class KnownFlags {
  readonly #flags: Flags;
  readonly #line: number;

  constructor(
    flags: Flags,
    line: number,
    keyword: string,
    known: readonly string[],
    repeats: readonly string[] = [],
  ) {
    this.#flags = flags;
    this.#line = line;
    const seen = new Set<string>();
    for (const { name } of flags) {
      if (!known.includes(name) && !repeats.includes(name))
        throw parseError(line, `unknown flag: --${name.slice(0, 100)} of ${keyword}`);
      if (seen.has(name) && !repeats.includes(name))
        throw parseError(line, `duplicate flag: --${name} of ${keyword}`);
      seen.add(name);
    }
  }

  text(name: string): string | undefined {
    const flag = this.#flags.find((other) => other.name === name);
    if (flag && flag.value === undefined) throw parseError(this.#line, `missing a value on flag: --${name}`);
    return flag?.value;
  }

  all(name: string): string[] {
    return this.#flags
      .filter((flag) => flag.name === name)
      .map(({ value }) => {
        if (value === undefined) throw parseError(this.#line, `missing a value on flag: --${name}`);
        return value;
      });
  }

  /** Given, or given as `true`. */
  flag(name: string): boolean {
    const flag = this.#flags.find((other) => other.name === name);
    if (!flag) return false;
    const value = flag.value?.toLowerCase() ?? 'true';
    if (value === 'true' || value === 'false') return value === 'true';
    throw parseError(this.#line, `expecting boolean value for flag --${name}, not ${shown(value)}`);
  }
}
