import type { Command } from '../command.ts';
import { COMMANDS } from '../commands.ts';
import { GLOBAL_OPTIONS, HELP_OPTION } from '../help.ts';
import type { OptionSpec } from '../options.ts';
import { type Kind, operandKinds, valueKinds } from './kinds.ts';

/** One way to go on with the line; `text` replaces the last word. */
export interface Candidate {
  readonly text: string;
  readonly help: string;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** Files of this host are possible as well. */
  readonly files: boolean;
}

/** Where the names come from: a daemon, at the host that the line gives. Rejects where there is none. */
export type Names = (
  kind: 'pod' | 'container' | 'image' | 'machine',
  host: string | undefined,
) => Promise<readonly string[]>;

const NOTHING: Completion = { candidates: [], files: false };

/** What may stand in place of the last of `words`, which are those behind `hyperctl` and may be empty. Never rejects: who completes wants no messages. */
export async function complete(words: readonly string[], names: Names): Promise<Completion> {
  const last = words.at(-1) ?? '';
  const globals = walk(words.slice(0, -1), GLOBAL_OPTIONS, true);
  const host = globals.values.get('host');
  const fill = (kinds: readonly Kind[], prefix = ''): Promise<Completion> =>
    candidatesOf(kinds, last.slice(prefix.length), prefix, (kind) => names(kind, host));
  const [name, ...rest] = globals.operands;
  if (name === undefined) {
    if (globals.open) return fill(valueKinds(globals.open));
    return last.startsWith('-') ? optionsOf(GLOBAL_OPTIONS, last, fill) : fill(['command']);
  }
  if (name === 'help') return rest.length === 0 ? fill(['command']) : NOTHING;
  const command = await load(name);
  if (!command) return NOTHING;
  const specs = [...command.options, HELP_OPTION];
  const line = walk(rest, specs, command.stopAtOperand ?? false);
  if (line.open) return fill(valueKinds(line.open));
  if (last.startsWith('-') && !line.optionsEnded) return optionsOf(specs, last, fill);
  return fill(operandKinds(command, line.operands.length));
}

interface Walked {
  readonly operands: readonly string[];
  readonly values: ReadonlyMap<string, string>;
  /** The option whose value comes next. */
  readonly open: OptionSpec | undefined;
  readonly optionsEnded: boolean;
}

/** Reads the words in front as `parseOptions` does, but takes what it does not understand as it is. */
function walk(words: readonly string[], specs: readonly OptionSpec[], stopAtOperand: boolean): Walked {
  const values = new Map<string, string>();
  const operands: string[] = [];
  let open: OptionSpec | undefined;
  let optionsEnded = false;
  for (const word of words) {
    if (open) {
      values.set(open.name, word);
      open = undefined;
    } else if (optionsEnded || !word.startsWith('-') || word === '-') {
      operands.push(word);
      optionsEnded ||= stopAtOperand;
    } else if (word === '--') {
      optionsEnded = true;
    } else {
      open = openOption(word, specs, values);
    }
  }
  return { operands, values, open, optionsEnded };
}

function openOption(
  word: string,
  specs: readonly OptionSpec[],
  values: Map<string, string>,
): OptionSpec | undefined {
  const [, name = '', inline] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  if (name !== '') {
    const spec = specs.find((candidate) => candidate.name === name);
    if (inline !== undefined) values.set(name, inline);
    return inline === undefined && spec?.value !== undefined ? spec : undefined;
  }
  const letters = [...word.slice(1)];
  for (const [index, letter] of letters.entries()) {
    const spec = specs.find(({ short }) => short === letter);
    if (spec?.value === undefined) continue;
    if (index < letters.length - 1) values.set(spec.name, word.slice(index + 2).replace(/^=/, ''));
    return index === letters.length - 1 ? spec : undefined;
  }
  return undefined;
}

/** The options, or behind `--name=` the values of one. */
async function optionsOf(
  specs: readonly OptionSpec[],
  last: string,
  fill: (kinds: readonly Kind[], prefix: string) => Promise<Completion>,
): Promise<Completion> {
  const [prefix, name] = /^--([^=]+)=/.exec(last) ?? [];
  const named = specs.find((spec) => spec.name === name);
  if (prefix !== undefined) return named?.value === undefined ? NOTHING : fill(valueKinds(named), prefix);
  const candidates = specs.flatMap(({ name: long, short, help }) => [
    { text: `--${long}`, help },
    ...(short && last === '-' ? [{ text: `-${short}`, help }] : []),
  ]);
  return { candidates: candidates.filter(({ text }) => text.startsWith(last)), files: false };
}

async function candidatesOf(
  kinds: readonly Kind[],
  last: string,
  prefix: string,
  names: (kind: 'pod' | 'container' | 'image' | 'machine') => Promise<readonly string[]>,
): Promise<Completion> {
  const found = await Promise.all(kinds.map((kind) => wordsOf(kind, names)));
  const known = new Map(found.flat().map(({ text, help }) => [text, help]));
  const candidates = [...known]
    .map(([text, help]) => ({ text: prefix + text, help }))
    .filter(({ text }) => text.startsWith(prefix + last) && /^[\x21-\x7e]+$/.test(text));
  return { candidates, files: kinds.includes('file') };
}

async function wordsOf(
  kind: Kind,
  names: (kind: 'pod' | 'container' | 'image' | 'machine') => Promise<readonly string[]>,
): Promise<readonly Candidate[]> {
  if (typeof kind !== 'string') return kind.map((text) => ({ text, help: '' }));
  if (kind === 'file') return [];
  if (kind === 'command') {
    const help = { name: 'help', summary: 'Explain a command' };
    return [...COMMANDS, help].map(({ name, summary }) => ({ text: name, help: summary }));
  }
  const suffix = kind === 'container-path' ? ':' : '';
  const source = kind === 'container-path' ? 'container' : kind;
  try {
    return (await names(source)).map((name) => ({ text: `${name}${suffix}`, help: source }));
  } catch {
    return []; // no daemon, no names
  }
}

async function load(name: string): Promise<Command | undefined> {
  return (await COMMANDS.find((entry) => entry.name === name)?.load())?.command;
}
