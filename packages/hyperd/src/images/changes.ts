import { nanosecondsOf } from '../duration.ts';
import { HyperError } from '../errors.ts';

/** The `config` member of an image's configuration while it is being put together. */
export type ConfigDraft = Record<string, unknown> & {
  Env?: string[];
  Labels?: Record<string, string>;
  ExposedPorts?: Record<string, object>;
  Volumes?: Record<string, object>;
  OnBuild?: string[];
};

const ALLOWED =
  'CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR';
const MAX_CHANGES = 1000;

/** Applies Dockerfile instructions to a configuration, one after the other. Throws `invalid-argument`, naming the instruction. */
export function applyChanges(config: ConfigDraft, changes: readonly string[]): ConfigDraft {
  if (changes.length > MAX_CHANGES)
    throw new HyperError(
      'invalid-argument',
      `apply changes: there are ${changes.length}, at most ${MAX_CHANGES} are allowed`,
    );
  return changes.reduce(applyChange, { ...config });
}

function applyChange(config: ConfigDraft, text: string): ConfigDraft {
  const [, word = '', rest = ''] = /^\s*(\S*)\s*([\s\S]*?)\s*$/.exec(text) ?? [];
  const refuse = (why: string): never => {
    throw new HyperError('invalid-argument', `apply change "${text.slice(0, 200)}": ${why}`);
  };
  const keyword = word.toUpperCase();
  const apply = INSTRUCTIONS[keyword];
  if (!apply) return refuse(`want one of ${ALLOWED}`);
  if (rest === '') return refuse(`${keyword} needs an argument`);
  return { ...config, ...apply(rest, config, refuse) };
}

type Refuse = (why: string) => never;
type Instruction = (rest: string, config: ConfigDraft, refuse: Refuse) => Partial<ConfigDraft>;

const INSTRUCTIONS: Readonly<Record<string, Instruction>> = {
  CMD: (rest) => ({ Cmd: commandOf(rest) }),
  ENTRYPOINT: (rest) => ({ Entrypoint: commandOf(rest) }),
  USER: (rest) => ({ User: rest }),
  WORKDIR: (rest, config) => ({
    WorkingDir: rest.startsWith('/') ? rest : `${String(config.WorkingDir ?? '').replace(/\/$/, '')}/${rest}`,
  }),
  STOPSIGNAL: (rest) => ({ StopSignal: rest }),
  ONBUILD: (rest, config, refuse) =>
    /^(onbuild|from|maintainer)\b/i.test(rest)
      ? refuse('ONBUILD may not be followed by ONBUILD, FROM or MAINTAINER')
      : { OnBuild: [...(config.OnBuild ?? []), rest] },
  ENV: (rest, config, refuse) => ({ Env: mergedEnv(config.Env ?? [], pairs(rest, refuse)) }),
  LABEL: (rest, config, refuse) => ({
    Labels: { ...config.Labels, ...Object.fromEntries(pairs(rest, refuse)) },
  }),
  VOLUME: (rest, config) => ({ Volumes: { ...config.Volumes, ...keys(jsonList(rest) ?? words(rest)) } }),
  EXPOSE: (rest, config, refuse) => ({
    ExposedPorts: { ...config.ExposedPorts, ...keys(words(rest).flatMap((port) => portOf(port, refuse))) },
  }),
  HEALTHCHECK: (rest, _config, refuse) => ({ Healthcheck: healthcheckOf(rest, refuse) }),
};

/** `["a", "b"]` as it is; anything else for a shell. */
function commandOf(rest: string): string[] {
  return jsonList(rest) ?? ['/bin/sh', '-c', rest];
}

function jsonList(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  } catch {
    return undefined; // no JSON: taken as words, as Docker does
  }
  return undefined;
}

/** Words, parted by blanks; quotes hold together, a backslash takes the next character as it is. */
function words(text: string): string[] {
  const found: string[] = [];
  for (const [whole] of text.matchAll(/(?:"(?:\\[\s\S]|[^"\\])*"|'[^']*'|\\[\s\S]|[^\s"'\\])+/g))
    found.push(whole.replace(/"((?:\\[\s\S]|[^"\\])*)"|'([^']*)'|\\([\s\S])/g, unquoted));
  return found;
}

function unquoted(_whole: string, double?: string, single?: string, escaped?: string): string {
  if (double !== undefined) return double.replace(/\\([\s\S])/g, '$1');
  return single ?? escaped ?? '';
}

/** `KEY=VALUE ...`, or the old `KEY VALUE`. */
function pairs(rest: string, refuse: Refuse): [string, string][] {
  const [first = '', ...others] = words(rest);
  if (!first.includes('=')) {
    if (others.length === 0) return refuse(`"${first}" has no "="`);
    return [[first, rest.slice(first.length).trim()]];
  }
  return [first, ...others].map((word) => {
    const equals = word.indexOf('=');
    if (equals <= 0) return refuse(`"${word}" is not KEY=VALUE`);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

function mergedEnv(env: readonly string[], added: readonly [string, string][]): string[] {
  const merged = new Map(env.map((text) => [text.split('=', 1)[0] ?? '', text]));
  for (const [key, value] of added) merged.set(key, `${key}=${value}`);
  return [...merged.values()];
}

function portOf(text: string, refuse: Refuse): string[] {
  const [, from = '', to = from, protocol = 'tcp'] =
    /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === '' || first < 1 || last > 65_535 || last < first)
    return refuse(`"${text}" is no port; want PORT or FIRST-LAST, of 1 to 65535, with /tcp, /udp or /sctp`);
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol.toLowerCase()}`);
}

function healthcheckOf(rest: string, refuse: Refuse): object {
  if (/^none$/i.test(rest)) return { Test: ['NONE'] };
  const check: Record<string, unknown> = {};
  let left = rest;
  for (let option = /^--([a-z-]+)=(\S+)\s+/.exec(left); option; option = /^--([a-z-]+)=(\S+)\s+/.exec(left)) {
    const [whole, name = '', value = ''] = option;
    left = left.slice(whole.length);
    if (name === 'retries' && /^\d{1,6}$/.test(value)) check.Retries = Number(value);
    else if (['interval', 'timeout', 'start-period', 'start-interval'].includes(name))
      check[name.replace(/(?:^|-)([a-z])/g, (_all, letter: string) => letter.toUpperCase())] = durationOf(
        value,
        refuse,
      );
    else return refuse(`option --${name}=${value} of HEALTHCHECK is not known`);
  }
  const [, command] = /^cmd\s+([\s\S]+)$/i.exec(left) ?? [];
  if (command === undefined) return refuse('HEALTHCHECK wants NONE or CMD');
  const list = jsonList(command);
  return { Test: list ? ['CMD', ...list] : ['CMD-SHELL', command], ...check };
}

function durationOf(text: string, refuse: Refuse): number {
  return nanosecondsOf(text) ?? refuse(`"${text}" is no duration such as 30s or 1m30s`);
}

function keys(names: readonly string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}
