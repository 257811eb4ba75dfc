import type { Command } from '../command.ts';
import type { OptionSpec } from '../options.ts';

/** What a word may be: names that the daemon knows, files of this host, or one of a few words. */
export type Kind =
  | 'pod'
  | 'container'
  | 'container-path'
  | 'image'
  | 'machine'
  | 'command'
  | 'file'
  | readonly string[];

const PLACEHOLDERS: Readonly<Record<string, Kind>> = {
  POD: 'pod',
  CONTAINER: 'container',
  'CONTAINER:PATH': 'container-path',
  IMAGE: 'image',
  NAME: 'image',
  REPOSITORY: 'image',
  FILE: 'file',
  DIR: 'file',
  SOURCE: 'file',
  TARGET: 'file',
  COMMANDNAME: 'command',
};

const VALUES: Readonly<Record<string, readonly Kind[]>> = {
  FILE: ['file'],
  DIR: ['file'],
  'FILE|PORTS': ['file'],
  '[HOSTDIR:]DIR[:ro|rw]': ['file'],
  POD: ['pod'],
  IMAGE: ['image'],
  'IMAGE=NAME': ['image'],
  SIGNAL: [['KILL', 'TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2', 'STOP', 'CONT', 'WINCH']],
  POLICY: [['never', 'onFailure', 'always']],
  URL: [['unix://', 'tcp://']],
};

/** What the value of an option may be. */
export function valueKinds({ name, value = '', help }: OptionSpec): readonly Kind[] {
  if (name === 'vm') return ['machine'];
  if (name === 'format') return [[...help.matchAll(/\b(table|json|docker|oci)\b/g)].map(([word]) => word)];
  return VALUES[value] ?? [];
}

/**
 * What the operand at `position` may be, by the usage line of the command: `POD|CONTAINER...` are both, and so are all that follow; words in small letters are
 * themselves.
 */
export function operandKinds({ operands }: Pick<Command, 'operands'>, position: number): Kind[] {
  return operands
    .replaceAll(/\(.*?\)/g, '')
    .split(' | ')
    .flatMap((line) => tokensAt(line.trim().split(/\s+/), position))
    .flatMap((token) => token.replaceAll(/\[:?TAG\]|^\[|\]$|\.\.\.|\]$/g, '').split('|'))
    .flatMap((word): Kind[] => {
      const kind = PLACEHOLDERS[word];
      if (kind) return [kind];
      return /^[a-z]+$/.test(word) ? [[word]] : [];
    });
}

/** One that may be left out stands for the next one as well; one with dots for all that follow. */
function tokensAt(tokens: readonly string[], position: number): string[] {
  const token = tokens[position];
  if (token === undefined) return tokens.at(-1)?.includes('...') ? [tokens.at(-1) ?? ''] : [];
  const next = tokens[position + 1];
  return position === 0 && token.startsWith('[') && next ? [token, next] : [token];
}
