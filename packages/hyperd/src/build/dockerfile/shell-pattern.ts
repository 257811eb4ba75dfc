/**
 * All lengths, ascending, at which the pattern matches `value` from `at` on: `*` stands for any text, `?` for one character, a backslash takes
 * away the meaning of the next. Takes time in proportion to both lengths together multiplied, never more.
 */
export function matchLengths(pattern: string, value: string, at: number): number[] {
  const tokens = pattern.match(/\\[\s\S]|[\s\S]/g) ?? [];
  const found: number[] = [];
  let states = closure(new Set([0]), tokens);
  for (let index = at; ; index++) {
    if (states.has(tokens.length)) found.push(index - at);
    if (index >= value.length || states.size === 0) return found;
    const char = value[index] as string;
    const next = new Set<number>();
    for (const state of states) {
      const token = tokens[state];
      if (token === '*') next.add(state);
      else if (token !== undefined && (token === '?' || token.slice(-1) === char)) next.add(state + 1);
    }
    states = closure(next, tokens);
  }
}

/** A `*` may stand for nothing. */
function closure(states: Set<number>, tokens: readonly string[]): Set<number> {
  for (const state of states) if (tokens[state] === '*') states.add(state + 1);
  return states;
}
