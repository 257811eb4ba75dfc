import { type Heredoc, type HeredocStart, heredocStarts } from './heredoc.ts';
import { parseError, shown } from './parse-error.ts';

/** One instruction's text, put together from its lines. */
export interface Statement {
  /** Upper case. */
  readonly keyword: string;
  /** What follows the keyword, without the blanks around. */
  readonly rest: string;
  readonly heredocs: readonly Heredoc[];
  /** Of its first line, from 1. */
  readonly line: number;
}

export interface Statements {
  readonly escapeChar: string;
  /** Value of `# syntax=`; it is not acted on. */
  readonly syntax: string | undefined;
  readonly statements: readonly Statement[];
}

const MAX_BYTES = 4 << 20;
const DIRECTIVES: readonly string[] = ['syntax', 'escape', 'check'];
/** May be followed by heredocs; ONBUILD by one of them. */
const WITH_HEREDOCS = /^(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\b/i;

/** Cuts a Dockerfile into its statements: parser directives, comments, continued lines, heredocs. Throws `invalid-argument`, naming the line. */
export function readStatements(text: string): Statements {
  if (text.length > MAX_BYTES)
    throw parseError(1, `the file has ${text.length} characters, at most ${MAX_BYTES} are read`);
  return new Reader(text).read();
}

class Reader {
  readonly #lines: readonly string[];
  #at = 0;
  #escapeChar = '\\';

  constructor(text: string) {
    this.#lines = text
      .replace(/^\uFEFF/, '')
      .split('\n')
      .map((line) => line.replace(/\r$/, ''));
  }

  read(): Statements {
    const directives = this.#directives();
    const statements: Statement[] = [];
    while (this.#at < this.#lines.length) {
      const line = (this.#lines[this.#at] as string).trimStart();
      if (line === '' || line.startsWith('#')) this.#at++;
      else statements.push(this.#statement());
    }
    return { escapeChar: this.#escapeChar, syntax: directives.get('syntax'), statements };
  }

  /** `# name=value` lines at the very top. */
  #directives(): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (; this.#at < this.#lines.length; this.#at++) {
      const line = this.#lines[this.#at] as string;
      const [, name = '', value = ''] = /^#[ \t]*([a-zA-Z][a-zA-Z0-9]*)[ \t]*=(.*)$/.exec(line) ?? [];
      const key = name.toLowerCase();
      if (!DIRECTIVES.includes(key)) break;
      if (found.has(key)) throw parseError(this.#at + 1, `only one ${key} parser directive can be used`);
      found.set(key, value.trim());
    }
    const escapeChar = found.get('escape') ?? '\\';
    if (escapeChar !== '\\' && escapeChar !== '`')
      throw parseError(1, `invalid escape token ${shown(escapeChar)}: want \\ or a backquote`);
    this.#escapeChar = escapeChar;
    return found;
  }

  #statement(): Statement {
    const line = this.#at + 1;
    const text = this.#joined().trim();
    const [keyword = ''] = /^[^\s]+/.exec(text) ?? [];
    const rest = text.slice(keyword.length).trim();
    const starts = WITH_HEREDOCS.test(text) ? heredocStarts(rest, this.#escapeChar) : [];
    const heredocs = starts.map((start) => this.#heredoc(start, line));
    return { keyword: keyword.toUpperCase(), rest, heredocs, line };
  }

  /** The line with those that continue it; comments and empty lines between them are left out. */
  #joined(): string {
    const parts: string[] = [];
    for (let isFirst = true; this.#at < this.#lines.length; isFirst = false) {
      const line = this.#lines[this.#at++] as string;
      const start = line.trimStart();
      if (!isFirst && (start === '' || start.startsWith('#'))) continue;
      const continued = this.#continued(line);
      parts.push(continued ?? line);
      if (continued === undefined) break;
    }
    return parts.join('');
  }

  /** The line without the escape that ends it; undefined where there is none. A doubled one does not count. */
  #continued(line: string): string | undefined {
    let end = line.length;
    while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end--;
    if (line[end - 1] !== this.#escapeChar || line[end - 2] === this.#escapeChar) return undefined;
    return line.slice(0, end - 1);
  }

  #heredoc(start: HeredocStart, line: number): Heredoc {
    const from = this.#at;
    for (; this.#at < this.#lines.length; this.#at++) {
      const text = this.#lines[this.#at] as string;
      if ((start.strip ? text.replace(/^\t+/, '') : text) !== start.name) continue;
      const content = this.#lines.slice(from, this.#at).map((part) => `${part}\n`);
      this.#at++;
      return { ...start, content: content.join('') };
    }
    throw parseError(line, `unterminated heredoc ${shown(start.name)}`);
  }
}
