/** One step of a pattern. */
type Token =
  | { readonly kind: 'char'; readonly char: string }
  | { readonly kind: 'any' } // ?
  | {
      readonly kind: 'class';
      readonly negated: boolean;
      readonly ranges: readonly (readonly [string, string])[];
    }
  | { readonly kind: 'star' } // within a name
  | { readonly kind: 'deep' } // ** over names
  | { readonly kind: 'deepSlash' }; // **/ over whole directories, or nothing

/**
 * A pattern of paths: Go's filepath.Match (`*`, `?`, `[a-z]`, `[^a]`, backslash), and where `deep` is set `**` for any number of directories.
 * Matches in time proportional to both lengths multiplied.
 */
export class Glob {
  readonly #tokens: readonly Token[];

  /** Throws a RangeError with what is wrong with the pattern. */
  constructor(pattern: string, { deep }: { readonly deep: boolean }) {
    this.#tokens = tokensOf(pattern, deep);
  }

  matches(path: string): boolean {
    let states = this.#closure(new Set([0]), true);
    for (let at = 0; at < path.length; at++) {
      const char = path[at] as string;
      const next = new Set<number>();
      for (const state of states) {
        const token = this.#tokens[state];
        if (!token) continue;
        if (token.kind === 'deep' || token.kind === 'deepSlash') next.add(state);
        else if (token.kind === 'star') {
          if (char !== '/') next.add(state);
        } else if (stepMatches(token, char)) next.add(state + 1);
      }
      if (next.size === 0) return false;
      states = this.#closure(next, char === '/');
    }
    return states.has(this.#tokens.length);
  }

  /** Stars may stand for nothing; whole directories end behind a slash, or where nothing has come yet. */
  #closure(states: Set<number>, behindSlash: boolean): Set<number> {
    for (const state of states) {
      const kind = this.#tokens[state]?.kind;
      if (kind === 'star' || kind === 'deep' || (kind === 'deepSlash' && behindSlash)) states.add(state + 1);
    }
    return states;
  }
}

/** Whether a text has characters that mean something in a pattern. */
export function isPattern(text: string): boolean {
  return /[*?[\\]/.test(text);
}

function stepMatches(token: Token, char: string): boolean {
  if (token.kind === 'char') return token.char === char;
  if (char === '/') return false;
  if (token.kind === 'class')
    return token.ranges.some(([low, high]) => char >= low && char <= high) !== token.negated;
  return token.kind === 'any';
}

function tokensOf(pattern: string, deep: boolean): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; ) {
    const char = pattern[at] as string;
    if (deep && pattern.startsWith('**', at)) {
      while (pattern[at] === '*') at++;
      const atStart = tokens.length === 0 || isSlash(tokens.at(-1));
      const wholeDirectories = pattern[at] === '/' && atStart;
      if (wholeDirectories) at++;
      tokens.push({ kind: wholeDirectories ? 'deepSlash' : 'deep' });
    } else if (char === '*') {
      tokens.push({ kind: 'star' });
      at++;
    } else if (char === '?') {
      tokens.push({ kind: 'any' });
      at++;
    } else if (char === '[') {
      const { token, end } = classOf(pattern, at);
      tokens.push(token);
      at = end;
    } else if (char === '\\') {
      const next = pattern[at + 1];
      if (next === undefined) throw new RangeError(`pattern ${JSON.stringify(pattern)} ends in a backslash`);
      tokens.push({ kind: 'char', char: next });
      at += 2;
    } else {
      tokens.push({ kind: 'char', char });
      at++;
    }
  }
  return tokens;
}

function isSlash(token: Token | undefined): boolean {
  return token?.kind === 'deepSlash' || (token?.kind === 'char' && token.char === '/');
}

function classOf(pattern: string, from: number): { readonly token: Token; readonly end: number } {
  const bad = (): RangeError =>
    new RangeError(`pattern ${JSON.stringify(pattern)} has a "[" that is not closed`);
  let at = from + 1;
  const negated = pattern[at] === '^';
  if (negated) at++;
  const ranges: (readonly [string, string])[] = [];
  const next = (): string => {
    if (pattern[at] === '\\') at++;
    const char = pattern[at++];
    if (char === undefined) throw bad();
    return char;
  };
  while (pattern[at] !== ']' || ranges.length === 0) {
    if (at >= pattern.length) throw bad();
    const low = next();
    let high = low;
    if (pattern[at] === '-' && pattern[at + 1] !== ']') {
      at++;
      high = next();
    }
    ranges.push([low, high]);
  }
  return { token: { kind: 'class', negated, ranges }, end: at + 1 };
}
