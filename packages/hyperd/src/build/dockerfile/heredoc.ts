import { expandWords } from './words.ts';

/** A text in the Dockerfile that stands for a file. */
export interface Heredoc {
  readonly name: string;
  /** Tabs at the start of lines are taken away (`<<-`). */
  readonly strip: boolean;
  /** Variables in it are expanded: its name is not quoted. */
  readonly expand: boolean;
  readonly content: string;
}

export type HeredocStart = Omit<Heredoc, 'content'>;

const nothing = (): undefined => undefined;

/** A word such as `<<EOF`, `<<-"EOF"`, `3<<EOF`; undefined: it is none. */
export function heredocStart(word: string, escapeChar: string): HeredocStart | undefined {
  const [, , dash, rest = ''] = /^(\d*)<<(-?)([^<]*)$/.exec(word) ?? [];
  if (rest === '') return undefined;
  const options = { escapeChar, environment: nothing };
  const [name, ...more] = expandWords(rest, options);
  if (name === undefined || more.length > 0) return undefined;
  return { name, strip: dash === '-', expand: name === rest };
}

/** Those that a line begins, in order. */
export function heredocStarts(line: string, escapeChar: string): HeredocStart[] {
  if (!line.includes('<<')) return [];
  const options = { escapeChar, environment: nothing, raw: true };
  let words: string[];
  try {
    words = expandWords(line, options);
  } catch {
    return []; // quotes that do not end are the shell's matter, or told where the line is parsed
  }
  return words.flatMap((word) => heredocStart(word, escapeChar) ?? []);
}

/** The heredoc's text as its user sees it. */
export function heredocText({ content, strip }: Heredoc): string {
  return strip ? content.replace(/^\t+/gm, '') : content;
}
