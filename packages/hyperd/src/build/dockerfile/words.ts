import { HyperError } from '../../errors.ts';
import { matchLengths } from './shell-pattern.ts';

/** Where variables come from; undefined: not set. */
export type Environment = (name: string) => string | undefined;

export interface WordOptions {
  /** The character that takes away the meaning of the next: `\` or a backquote. */
  readonly escapeChar: string;
  readonly environment: Environment;
  /** Quotes stay in the text, and so do escapes. */
  readonly raw?: boolean;
  /** Quotes have no meaning: the text of a heredoc. */
  readonly noQuotes?: boolean;
}

/** The text with variables expanded and quotes taken away (BuildKit's rules). Throws `invalid-argument` without a place. */
export function expandWord(text: string, options: WordOptions): string {
  return new Expansion(text, options).whole().text;
}

/** The same, parted at blanks that are neither quoted nor escaped. */
export function expandWords(text: string, options: WordOptions): string[] {
  return new Expansion(text, options).whole().words;
}

/** Characters on their way to words. */
class Words {
  text = '';
  readonly words: string[] = [];
  #word = '';
  #isInWord = false;

  /** What may part words. */
  add(text: string): void {
    this.text += text;
    for (const [index, part] of text.split(/\s/).entries()) {
      if (index > 0) this.end();
      if (part === '') continue;
      this.#word += part;
      this.#isInWord = true;
    }
  }

  /** What is quoted or escaped. */
  addWhole(text: string): void {
    this.text += text;
    this.#word += text;
    this.#isInWord = true;
  }

  end(): void {
    if (this.#isInWord) this.words.push(this.#word);
    this.#word = '';
    this.#isInWord = false;
  }
}

const NAME = /[A-Za-z0-9_]/;
const MAX_DEPTH = 100;

class Expansion {
  readonly #text: string;
  readonly #options: WordOptions;
  #at = 0;
  #depth = 0;

  constructor(text: string, options: WordOptions) {
    this.#text = text;
    this.#options = options;
  }

  whole(): Words {
    const words = this.#until('', false);
    words.end();
    return words;
  }

  /** Up to `stop`, which is taken, too. */
  #until(stop: string, keepEscapes: boolean): Words {
    const { escapeChar, raw, noQuotes } = this.#options;
    const words = new Words();
    if (++this.#depth > MAX_DEPTH) throw this.#refuse('substitutions are nested too deep');
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at] as string;
      if (char === stop) {
        this.#at++;
        this.#depth--;
        return words;
      }
      if (char === '$') words.add(this.#dollar());
      else if (char === "'" && !noQuotes) words.addWhole(this.#singleQuoted());
      else if (char === '"' && !noQuotes) words.addWhole(this.#doubleQuoted());
      else if (char === escapeChar) {
        this.#at++;
        const next = this.#text[this.#at++];
        if (raw || keepEscapes || (noQuotes && next !== '$' && next !== escapeChar)) words.addWhole(char);
        if (next !== undefined) words.addWhole(next);
      } else words.add(this.#plain(stop));
    }
    this.#depth--;
    if (stop !== '') throw this.#refuse(`missing "${stop}"`);
    return words;
  }

  /** All characters from here that mean nothing. */
  #plain(stop: string): string {
    const { escapeChar } = this.#options;
    const from = this.#at++;
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at] as string;
      if (char === stop || char === '$' || char === "'" || char === '"' || char === escapeChar) break;
      this.#at++;
    }
    return this.#text.slice(from, this.#at);
  }

  #singleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw this.#refuse('unexpected end of statement while looking for matching single-quote');
    const { raw } = this.#options;
    const text = this.#text.slice(this.#at + (raw ? 0 : 1), end + (raw ? 1 : 0));
    this.#at = end + 1;
    return text;
  }

  #doubleQuoted(): string {
    const { escapeChar, raw } = this.#options;
    let text = raw ? '"' : '';
    this.#at++;
    for (;;) {
      const char = this.#text[this.#at];
      if (char === undefined)
        throw this.#refuse('unexpected end of statement while looking for matching double-quote');
      if (char === '"') break;
      if (char === '$') {
        text += this.#dollar();
        continue;
      }
      this.#at++;
      const next = this.#text[this.#at];
      if (char === escapeChar && (next === '"' || next === '$' || next === escapeChar)) {
        text += raw ? char + next : next;
        this.#at++;
      } else if (char !== escapeChar || next !== undefined) text += char;
    }
    this.#at++;
    return raw ? `${text}"` : text;
  }

  #dollar(): string {
    this.#at++;
    if (this.#text[this.#at] === '{') {
      this.#at++;
      return this.#braced();
    }
    const name = this.#name();
    if (name === '') return '$';
    return this.#options.environment(name) ?? (this.#options.raw ? `$${name}` : '');
  }

  #braced(): string {
    const from = this.#at;
    const name = this.#name();
    if (name === '') throw this.#refuse('bad substitution: a name is missing');
    const value = this.#options.environment(name);
    const char = this.#text[this.#at++];
    if (char === '}') return value ?? (this.#options.raw ? `\${${name}}` : '');
    const result = char === '/' ? this.#replaced(value ?? '') : this.#modified(name, value, char);
    return value === undefined && this.#options.raw ? `\${${this.#text.slice(from, this.#at)}` : result;
  }

  #modified(name: string, value: string | undefined, first: string | undefined): string {
    const colon = first === ':';
    const modifier = colon ? this.#text[this.#at++] : first;
    const isSet = value !== undefined && !(colon && value === '');
    if (modifier === undefined) throw this.#refuse(`missing "}" behind \${${name}`);
    if (!'-+?#%'.includes(modifier) || (colon && '#%'.includes(modifier)))
      throw this.#refuse(`unsupported modifier (${colon ? ':' : ''}${modifier}) in substitution`);
    const word = this.#until('}', '#%'.includes(modifier)).text;
    if (modifier === '-') return isSet ? value : word;
    if (modifier === '+') return isSet ? word : '';
    if (modifier === '#' || modifier === '%') return trimmed(value ?? '', word, modifier);
    if (isSet) return value;
    throw this.#refuse(
      `${name}: ${word || (value === undefined ? 'is not allowed to be unset' : 'is not allowed to be empty')}`,
    );
  }

  #replaced(value: string): string {
    const all = this.#text[this.#at] === '/';
    if (all) this.#at++;
    const pattern = this.#until('/', true).text;
    const replacement = this.#until('}', true).text;
    let result = '';
    let at = 0;
    let isDone = pattern === '';
    while (at < value.length && !isDone) {
      const length = matchLengths(pattern, value, at).at(-1);
      if (length === undefined || length === 0) result += value[at++];
      else {
        result += replacement;
        at += length;
        isDone = !all;
      }
    }
    return result + value.slice(at);
  }

  /** Letters, digits and `_`; of one that begins with a digit only digits; or one of the special parameters. */
  #name(): string {
    const from = this.#at;
    const first = this.#text[from] ?? '';
    if (/[@*#?\-$!0]/.test(first) && first !== '') {
      if (first === '-' || first === '?') return '';
      this.#at++;
      return first;
    }
    const allowed = /[0-9]/.test(first) ? /[0-9]/ : NAME;
    while (this.#at < this.#text.length && allowed.test(this.#text[this.#at] as string)) this.#at++;
    return this.#text.slice(from, this.#at);
  }

  #refuse(why: string): HyperError {
    const text = this.#text.length > 120 ? `${this.#text.slice(0, 120)}…` : this.#text;
    return new HyperError('invalid-argument', `failed to process ${JSON.stringify(text)}: ${why}`);
  }
}

/** Without what the pattern matches at the start (`#`) or at the end (`%`), the shortest or, doubled, the longest. */
function trimmed(value: string, word: string, modifier: string): string {
  const longest = word.startsWith(modifier);
  const pattern = longest ? word.slice(1) : word;
  const pick = (lengths: readonly number[]): number => (longest ? lengths.at(-1) : lengths[0]) ?? 0;
  if (modifier === '#') return value.slice(pick(matchLengths(pattern, value, 0)));
  const backwards = { value: reversed(value), pattern: reversedPattern(pattern) };
  return value.slice(0, value.length - pick(matchLengths(backwards.pattern, backwards.value, 0)));
}

function reversed(text: string): string {
  return [...text].reverse().join('');
}

/** Escaped characters stay behind their escapes. */
function reversedPattern(pattern: string): string {
  return (pattern.match(/\\[\s\S]|[\s\S]/gu) ?? []).reverse().join('');
}
