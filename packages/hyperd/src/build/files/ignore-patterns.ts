import { posix } from 'node:path';
import { Glob } from './glob.ts';

const MAX_PATTERNS = 10_000;

interface Pattern {
  readonly glob: Glob;
  readonly isException: boolean;
  /** Of how many names it is. */
  readonly depth: number;
}

/**
 * What a `.dockerignore` says: a path is ignored when the last pattern that matches it, or a directory above it, is no exception (`!`). Used on both sides,
 * by the daemon and by hyperctl.
 */
export class IgnorePatterns {
  readonly #patterns: readonly Pattern[];
  readonly hasExceptions: boolean;

  /** Throws a RangeError with what is wrong. */
  constructor(lines: readonly string[]) {
    const patterns = lines.flatMap(patternOf);
    if (patterns.length > MAX_PATTERNS)
      throw new RangeError(`there are ${patterns.length} patterns, at most ${MAX_PATTERNS} are read`);
    this.#patterns = patterns;
    this.hasExceptions = patterns.some(({ isException }) => isException);
  }

  /** Of a file's text: one pattern a line, `#` begins a comment. */
  static parse(text: string): IgnorePatterns {
    const lines = text.replace(/^\uFEFF/, '').split('\n');
    return new IgnorePatterns(lines.filter((line) => !line.startsWith('#')));
  }

  /** `path` is relative, its names parted by slashes. */
  ignores(path: string): boolean {
    let ignored = false;
    const names = path.split('/');
    for (const { glob, isException, depth } of this.#patterns) {
      if (isException !== ignored) continue; // it would change nothing
      if (glob.matches(path) || this.#matchesAbove(glob, names, depth)) ignored = !isException;
    }
    return ignored;
  }

  #matchesAbove(glob: Glob, names: readonly string[], depth: number): boolean {
    for (let count = names.length - 1; count > 0; count--)
      if (count >= depth || depth === 0) if (glob.matches(names.slice(0, count).join('/'))) return true;
    return false;
  }
}

function patternOf(line: string): Pattern[] {
  let text = line.trim();
  if (text === '') return [];
  const isException = text.startsWith('!');
  if (isException) text = text.slice(1).trim();
  if (text === '') throw new RangeError('illegal exclusion pattern: "!"');
  const clean = posix.normalize(text).replace(/^\/+/, '').replace(/\/+$/, '');
  if (clean === '' || clean === '.')
    return isException ? [] : [{ glob: new Glob('**', { deep: true }), isException, depth: 0 }];
  const depth = clean.includes('**') ? 0 : clean.split('/').length;
  return [{ glob: new Glob(clean, { deep: true }), isException, depth }];
}
