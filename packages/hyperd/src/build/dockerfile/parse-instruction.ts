import { nanosecondsOf } from '../../duration.ts';
import { KnownFlags, takeFlags } from './flags.ts';
import { type Heredoc, heredocStart } from './heredoc.ts';
import type {
  CommandLine,
  CopySource,
  Healthcheck,
  Instruction,
  KeyValue,
  Mount,
  MountType,
} from './instruction.ts';
import type { Statement } from './lines.ts';
import { parseError, shown } from './parse-error.ts';

const MOUNT_TYPES: readonly string[] = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] satisfies MountType[];
const COPY_FLAGS = ['from', 'chown', 'chmod', 'link', 'parents'];
const ADD_FLAGS = ['chown', 'chmod', 'link', 'checksum', 'keep-git-dir', 'unpack'];
const MAX_ITEMS = 10_000;

interface Parsed {
  readonly keyword: string;
  readonly rest: string;
  readonly line: number;
  readonly escapeChar: string;
  readonly heredocs: readonly Heredoc[];
  flags(known: readonly string[], repeats?: readonly string[]): KnownFlags;
}

type InstructionBody = Instruction extends infer T
  ? T extends Instruction
    ? Omit<T, 'line' | 'text'>
    : never
  : never;

/** Reads one instruction other than FROM. Throws `invalid-argument`, naming the line. */
export function parseInstruction(statement: Statement, escapeChar: string): Instruction {
  const { keyword, line, heredocs } = statement;
  const parse = PARSERS[keyword];
  if (!parse) throw parseError(line, `unknown instruction: ${shown(keyword)}`);
  const { flags, rest } =
    keyword === 'ONBUILD' ? { flags: [], rest: statement.rest } : takeFlags(statement.rest, escapeChar);
  let isChecked = false;
  const parsed = {
    ...{ keyword, rest, line, escapeChar, heredocs },
    flags: (known: readonly string[], repeats: readonly string[] = []) => {
      isChecked = true;
      return new KnownFlags(flags, line, keyword, known, repeats);
    },
  };
  const body = parse(parsed);
  if (!isChecked) parsed.flags([]);
  return { ...body, line, text: `${keyword} ${statement.rest}`.trim() } as Instruction;
}

const PARSERS: Readonly<Record<string, (parsed: Parsed) => InstructionBody>> = {
  RUN: parseRun,
  COPY: (parsed) => parseCopy('copy', parsed),
  ADD: (parsed) => parseCopy('add', parsed),
  ENV: (parsed) => ({ kind: 'env', pairs: pairsOf(parsed) }),
  LABEL: (parsed) => ({ kind: 'label', pairs: pairsOf(parsed) }),
  ARG: (parsed) => ({ kind: 'arg', args: argsOf(parsed) }),
  CMD: ({ rest }) => ({ kind: 'cmd', command: commandOf(rest) }),
  ENTRYPOINT: (parsed) => ({ kind: 'entrypoint', command: commandOf(required(parsed)) }),
  WORKDIR: (parsed) => ({ kind: 'workdir', value: required(parsed) }),
  USER: (parsed) => ({ kind: 'user', value: required(parsed) }),
  STOPSIGNAL: (parsed) => ({ kind: 'stopsignal', value: required(parsed) }),
  MAINTAINER: (parsed) => ({ kind: 'maintainer', value: required(parsed) }),
  EXPOSE: (parsed) => ({ kind: 'expose', values: required(parsed).split(/\s+/) }),
  VOLUME: parseVolume,
  SHELL: parseShell,
  ONBUILD: parseOnbuild,
  HEALTHCHECK: parseHealthcheck,
};

function required({ keyword, rest, line }: Parsed): string {
  if (rest === '') throw parseError(line, `${keyword} requires at least one argument`);
  return rest;
}

/** The strings of a JSON array; undefined where the text is none. */
export function jsonStrings(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
  } catch {
    return undefined; // no JSON: taken as plain text, as Docker does
  }
}

function commandOf(text: string): CommandLine {
  const args = jsonStrings(text);
  return args ? { form: 'exec', args } : { form: 'shell', text };
}

function parseRun(parsed: Parsed): InstructionBody {
  const flags = parsed.flags(['network', 'security', 'device'], ['mount']);
  const network = flags.text('network') ?? 'default';
  const security = flags.text('security') ?? 'sandbox';
  const { line, heredocs } = parsed;
  if (!['default', 'none', 'host'].includes(network))
    throw parseError(
      line,
      `security: network mode ${shown(network)} is not default, none or host`.replace('security: ', ''),
    );
  if (!['sandbox', 'insecure'].includes(security))
    throw parseError(line, `security mode ${shown(security)} is not sandbox or insecure`);
  const command = commandOf(required(parsed));
  if (command.form === 'exec' && command.args.length === 0)
    throw parseError(line, 'RUN requires at least one argument');
  const mounts = flags.all('mount').map((text) => mountOf(text, line));
  return { kind: 'run', command, heredocs, mounts, network, security };
}

function mountOf(text: string, line: number): Mount {
  const fields = new Map<string, string>();
  for (const field of csvFields(text)) {
    const equals = field.indexOf('=');
    const key = (equals < 0 ? field : field.slice(0, equals)).trim().toLowerCase();
    const known = {
      source: 'source',
      src: 'source',
      target: 'target',
      dst: 'target',
      destination: 'target',
      ro: 'readonly',
      rw: 'readwrite',
    };
    const name = (known as Readonly<Record<string, string>>)[key] ?? key;
    if (
      ![
        'type',
        'from',
        'source',
        'target',
        'readonly',
        'readwrite',
        'id',
        'sharing',
        'required',
        'size',
        'mode',
        'uid',
        'gid',
        'env',
      ].includes(name)
    )
      throw parseError(line, `unexpected key ${shown(key)} in mount ${shown(text)}`);
    fields.set(name, equals < 0 ? 'true' : field.slice(equals + 1));
  }
  const type = fields.get('type') ?? 'bind';
  if (!MOUNT_TYPES.includes(type)) throw parseError(line, `unsupported mount type ${shown(type)}`);
  return { type: type as MountType, fields };
}

/** Fields parted by commas; double quotes around a field hold it together, doubled ones stand for one. */
function csvFields(text: string): string[] {
  const fields: string[] = [];
  let field = '';
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (char === '"' && isQuoted && text[at + 1] === '"') field += text[++at];
    else if (char === '"') isQuoted = !isQuoted;
    else if (char === ',' && !isQuoted) {
      fields.push(field);
      field = '';
    } else field += char;
  }
  return [...fields, field];
}

function parseCopy(kind: 'copy' | 'add', parsed: Parsed): InstructionBody {
  const flags = parsed.flags(kind === 'copy' ? COPY_FLAGS : ADD_FLAGS, ['exclude']);
  const { line, heredocs, escapeChar, keyword } = parsed;
  const words = jsonStrings(parsed.rest) ?? parsed.rest.split(/\s+/).filter((word) => word !== '');
  if (words.length > MAX_ITEMS)
    throw parseError(line, `${keyword} has ${words.length} arguments, at most ${MAX_ITEMS} are allowed`);
  const target = words.pop();
  if (target === undefined || words.length === 0)
    throw parseError(
      line,
      `${keyword} requires at least two arguments, but only ${target === undefined ? 0 : 1} provided`,
    );
  const waiting = [...heredocs];
  const sources = words.map((text): CopySource => {
    const start = heredocs.length > 0 ? heredocStart(text, escapeChar) : undefined;
    const heredoc = start && waiting.shift();
    return heredoc ? { text, heredoc } : { text };
  });
  if (waiting.length > 0) throw parseError(line, `${keyword} cannot have a heredoc as its destination`);
  if (flags.text('from') === '') throw parseError(line, 'empty --from');
  return {
    ...{ kind, sources, target },
    flags: {
      ...{ from: flags.text('from'), chown: flags.text('chown'), chmod: flags.text('chmod') },
      ...{ link: flags.flag('link'), parents: flags.flag('parents'), exclude: flags.all('exclude') },
      ...{ checksum: flags.text('checksum'), keepGitDirectory: flags.flag('keep-git-dir') },
      unpack: flags.text('unpack') === undefined ? undefined : flags.flag('unpack'),
    },
  };
}

/** Words at blanks; quotes and escapes stay, for the expansion to take away. */
function rawWords(text: string, escapeChar: string): string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (quote === '' && /\s/.test(char)) {
      if (word !== '') words.push(word);
      word = '';
      continue;
    }
    word += char;
    if (char === escapeChar && quote !== "'" && at + 1 < text.length) word += text[++at];
    else if (char === quote) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
  }
  return word === '' ? words : [...words, word];
}

/** `KEY=VALUE …`, or the old `KEY VALUE`. */
function pairsOf(parsed: Parsed): KeyValue[] {
  const { keyword, line, escapeChar } = parsed;
  const rest = required(parsed);
  const words = rawWords(rest, escapeChar);
  if (words.length > MAX_ITEMS)
    throw parseError(line, `${keyword} has ${words.length} values, at most ${MAX_ITEMS} are allowed`);
  if (!words[0]?.includes('=')) {
    const [, key = '', value] = /^(\S+)\s+([\s\S]+)$/.exec(rest) ?? [];
    if (value === undefined) throw parseError(line, `${keyword} must have two arguments`);
    return [{ key, value }];
  }
  return words.map((word) => {
    const equals = word.indexOf('=');
    if (equals < 0) throw parseError(line, `can't find = in ${shown(word)}. Must be of the form: name=value`);
    if (equals === 0) throw parseError(line, `${keyword} names can not be blank`);
    return { key: word.slice(0, equals), value: word.slice(equals + 1) };
  });
}

function argsOf(parsed: Parsed): { key: string; value: string | undefined }[] {
  return rawWords(required(parsed), parsed.escapeChar).map((word) => {
    const equals = word.indexOf('=');
    if (equals === 0) throw parseError(parsed.line, 'ARG names can not be blank');
    return equals < 0
      ? { key: word, value: undefined }
      : { key: word.slice(0, equals), value: word.slice(equals + 1) };
  });
}

function parseVolume(parsed: Parsed): InstructionBody {
  const rest = required(parsed);
  const values = jsonStrings(rest) ?? rest.split(/\s+/);
  if (values.length === 0) throw parseError(parsed.line, 'VOLUME requires at least one argument');
  if (values.some((value) => value.trim() === ''))
    throw parseError(parsed.line, 'VOLUME specified can not be an empty string');
  return { kind: 'volume', values };
}

function parseShell(parsed: Parsed): InstructionBody {
  const values = jsonStrings(required(parsed));
  if (!values) throw parseError(parsed.line, 'SHELL requires the arguments to be in JSON form');
  if (values.length === 0) throw parseError(parsed.line, 'SHELL requires at least one argument');
  return { kind: 'shell', values };
}

function parseOnbuild(parsed: Parsed): InstructionBody {
  const rest = required(parsed);
  const [keyword = ''] = /^\S+/.exec(rest) ?? [];
  if (['ONBUILD', 'FROM', 'MAINTAINER'].includes(keyword.toUpperCase()))
    throw parseError(
      parsed.line,
      keyword.toUpperCase() === 'ONBUILD'
        ? "chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
        : `${keyword.toUpperCase()} isn't allowed as an ONBUILD trigger`,
    );
  if (!PARSERS[keyword.toUpperCase()])
    throw parseError(parsed.line, `unknown instruction: ${shown(keyword)} in ONBUILD`);
  const heredocs = parsed.heredocs.map(({ content, name }) => `\n${content}${name}`);
  return { kind: 'onbuild', trigger: rest + heredocs.join('') };
}

function parseHealthcheck(parsed: Parsed): InstructionBody {
  const names = ['interval', 'timeout', 'start-period', 'start-interval', 'retries'];
  const flags = parsed.flags(names);
  const { line } = parsed;
  const [, kind = '', rest = ''] = /^(\S+)\s*([\s\S]*)$/.exec(required(parsed)) ?? [];
  const duration = (name: string): number | undefined => {
    const text = flags.text(name);
    const value = text === undefined ? undefined : nanosecondsOf(text);
    if (text !== undefined && value === undefined)
      throw parseError(line, `invalid duration ${shown(text)} of --${name}; want one such as 30s or 1m30s`);
    if (value !== undefined && value > 0 && value < 1e6)
      throw parseError(line, `interval ${shown(text ?? '')} of --${name} cannot be less than 1ms`);
    return value;
  };
  const retries = flags.text('retries');
  if (retries !== undefined && !/^\d{1,9}$/.test(retries))
    throw parseError(line, `--retries must be a number, not ${shown(retries)}`);
  const healthcheck: Omit<Healthcheck, 'test'> = {
    ...{
      interval: duration('interval'),
      timeout: duration('timeout'),
      startPeriod: duration('start-period'),
    },
    ...{
      startInterval: duration('start-interval'),
      retries: retries === undefined ? undefined : Number(retries),
    },
  };
  if (kind.toUpperCase() === 'NONE') {
    if (rest !== '') throw parseError(line, 'HEALTHCHECK NONE takes no arguments');
    return { kind: 'healthcheck', healthcheck: { ...healthcheck, test: 'none' } };
  }
  if (kind.toUpperCase() !== 'CMD')
    throw parseError(line, `unknown type ${shown(kind)} in HEALTHCHECK (try CMD)`);
  if (rest === '') throw parseError(line, 'missing command after HEALTHCHECK CMD');
  return { kind: 'healthcheck', healthcheck: { ...healthcheck, test: commandOf(rest) } };
}
