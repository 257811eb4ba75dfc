import { HyperError } from '../errors.ts';

/** Words that are false for `flag`; everything else is true. */
const FALSE_WORDS = ['', '0', 'no', 'false', 'none'];

/** The parameters of a call: those of its path, form-encoded body and query put together, in this order. Names are case-sensitive. */
export class Parameters {
  readonly #values: URLSearchParams;
  readonly #described: ReadonlySet<string> | undefined;

  /** `described`: the names that the route describes; reading another one is an error of ours. */
  constructor(
    query: string,
    form = '',
    path: Readonly<Record<string, string>> = {},
    described?: ReadonlySet<string>,
  ) {
    this.#values = new URLSearchParams(path);
    for (const text of [form, query])
      for (const [name, value] of new URLSearchParams(text)) this.#values.append(name, value);
    this.#described = described;
  }

  /** The first value of the first of `names` (spellings of one parameter) that is given; else undefined. */
  optional(...names: readonly string[]): string | undefined {
    for (const name of names) {
      this.#check(name);
      const value = this.#values.get(name);
      if (value !== null) return value;
    }
    return undefined;
  }

  /** As `optional`, empty where none is given. */
  text(...names: readonly string[]): string {
    return this.optional(...names) ?? '';
  }

  /** The first value of `name`, whether the route describes it or not; empty where it is not given. */
  given(name: string): string {
    return this.#values.get(name) ?? '';
  }

  /** Every value that is given and not empty. */
  all(name: string): readonly string[] {
    this.#check(name);
    return this.#values.getAll(name).filter((value) => value !== '');
  }

  /** As `text`; throws `invalid-argument` where it is empty. */
  required(...names: readonly string[]): string {
    const value = this.text(...names);
    if (value === '') throw new HyperError('invalid-argument', `read parameters: "${names[0]}" is missing`);
    return value;
  }

  /** True for anything but `""`, 0, no, false, none and absence. */
  flag(...names: readonly string[]): boolean {
    return !FALSE_WORDS.includes(
      this.text(...names)
        .trim()
        .toLowerCase(),
    );
  }

  /** True for exactly one of `words`. */
  isOneOf(name: string, words: readonly string[]): boolean {
    return words.includes(this.text(name));
  }

  /** True for what the original's command line sends for yes. */
  isYes(name: string): boolean {
    return this.isOneOf(name, ['yes', 'true', 'on']);
  }

  /** A decimal integer, or undefined where the value is missing or none. */
  integer(name: string): number | undefined {
    const value = this.text(name).trim();
    return /^[+-]?\d{1,15}$/.test(value) ? Number(value) : undefined;
  }

  #check(name: string): void {
    if (this.#described?.has(name) !== false) return;
    throw new HyperError('internal', `read parameter "${name}": the route does not describe it`);
  }
}
