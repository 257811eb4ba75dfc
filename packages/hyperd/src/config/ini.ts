import { HyperError } from '../errors.ts';

/** One setting of an INI file. Keys before the first section are in section `""`. */
export interface IniEntry {
  readonly section: string;
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

/**
 * Reads `Key=Value` lines and `[Section]` headings; `#` and `;` begin comments at the start of a line, quotes around a value are taken off. Throws
 * `invalid-argument` naming file and line for anything else.
 */
export function parseIni(text: string, file: string): IniEntry[] {
  const entries: IniEntry[] = [];
  let section = '';
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    const heading = /^\[([^\]]+)\]$/.exec(line)?.[1];
    if (heading !== undefined) {
      section = heading.trim();
      continue;
    }
    const equals = line.indexOf('=');
    if (equals < 1) {
      throw new HyperError(
        'invalid-argument',
        `read ${file}:${index + 1}: "${line.slice(0, 80)}"; want Key=Value, [Section] or a comment`,
      );
    }
    const value = line.slice(equals + 1).trim();
    entries.push({
      ...{ section, key: line.slice(0, equals).trim(), line: index + 1 },
      value: /^(["']).*\1$/.test(value) ? value.slice(1, -1) : value,
    });
  }
  return entries;
}
