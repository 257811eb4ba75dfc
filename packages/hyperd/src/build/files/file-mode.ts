import { HyperError } from '../../errors.ts';

/** A change of permissions: `755`, or `u=rwX,go-w` as chmod(1) has it. */
export type FileMode = (mode: number, isDirectory: boolean) => number;

const WHO: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };

/** Throws `invalid-argument`. */
export function parseFileMode(text: string): FileMode {
  if (/^[0-7]{1,5}$/.test(text)) {
    const mode = Number.parseInt(text, 8) & 0o7777;
    return () => mode;
  }
  const clauses = text.split(',').map((clause) => /^([ugoa]*)((?:[-+=][rwxXst]*)+)$/.exec(clause));
  if (text === '' || clauses.some((clause) => clause === null))
    throw new HyperError(
      'invalid-argument',
      `read --chmod "${text.slice(0, 100)}": want an octal number such as 755, or changes such as u=rwX,go=rX`,
    );
  return (mode, isDirectory) =>
    clauses.reduce(
      (result, clause) => applyClause(result, clause?.[1] || 'a', clause?.[2] ?? '', isDirectory),
      mode,
    );
}

function applyClause(mode: number, who: string, actions: string, isDirectory: boolean): number {
  const mask = [...who].reduce((bits, one) => bits | (WHO[one] ?? 0), 0);
  let result = mode;
  for (const [, operator, letters = ''] of actions.matchAll(/([-+=])([rwxXst]*)/g)) {
    const bits = [...letters].reduce((sum, letter) => sum | bitsOf(letter, result, isDirectory), 0) & mask;
    if (operator === '+') result |= bits;
    else if (operator === '-') result &= ~bits;
    else result = (result & ~mask) | bits;
  }
  return result;
}

function bitsOf(letter: string, mode: number, isDirectory: boolean): number {
  switch (letter) {
    case 'r':
      return 0o444;
    case 'w':
      return 0o222;
    case 'x':
      return 0o111;
    case 'X':
      return isDirectory || (mode & 0o111) !== 0 ? 0o111 : 0;
    case 's':
      return 0o6000;
    default:
      return 0o1000;
  }
}
