import { suggestion } from './nearest.ts';
import { UsageError } from './usage-error.ts';

/** One option of a command. */
export interface OptionSpec {
  /** Long name, without the dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** Placeholder of its value; without one the option is a flag. */
  readonly value?: string;
  /** May be given several times. */
  readonly repeats?: boolean;
  readonly help: string;
}

/** The options that were given. */
export class Options {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  flag(name: string): boolean {
    return this.#values.get(name)?.at(-1) === 'true';
  }

  /** The last value, or undefined. */
  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** The last value as an integer of at least `least`. Throws UsageError. */
  integer(name: string, least: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= least) return number;
    throw new UsageError(`--${name} is "${text}", want an integer of at least ${least}`);
  }
}

export interface ParsedLine {
  readonly options: Options;
  readonly operands: readonly string[];
}

/**
 * Reads a command's arguments: `--name VALUE`, `--name=VALUE`, `-n VALUE`, `-nVALUE`, flags in one (`-it`), `--flag=false`, `--` as the
 * end of the options. With `stopAtOperand` everything from the first operand on is operands: it belongs to another command.
 * Throws UsageError for an unknown option, a missing value, a value for a flag.
 */
export function parseOptions(
  args: readonly string[],
  specs: readonly OptionSpec[],
  { stopAtOperand }: { readonly stopAtOperand: boolean },
): ParsedLine {
  const values = new Map<string, string[]>();
  const operands: string[] = [];
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') {
      operands.push(...rest.splice(0));
    } else if (arg.startsWith('--')) {
      readLong(arg, rest, specs, values);
    } else if (arg.startsWith('-') && arg !== '-') {
      readShort(arg, rest, specs, values);
    } else {
      operands.push(arg);
      if (stopAtOperand) operands.push(...rest.splice(0));
    }
  }
  return { options: new Options(values), operands };
}

function readLong(
  arg: string,
  rest: string[],
  specs: readonly OptionSpec[],
  values: Map<string, string[]>,
): void {
  const equals = arg.indexOf('=');
  const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
  const inline = equals < 0 ? undefined : arg.slice(equals + 1);
  const spec = specs.find((candidate) => candidate.name === name);
  if (!spec) {
    const meant = suggestion(
      `--${name}`,
      specs.map((candidate) => `--${candidate.name}`),
    );
    throw new UsageError(`unknown option "--${name}"${meant}`);
  }
  if (spec.value === undefined) add(values, spec, flagValue(spec, inline));
  else add(values, spec, inline ?? nextValue(`--${name}`, rest));
}

function readShort(
  arg: string,
  rest: string[],
  specs: readonly OptionSpec[],
  values: Map<string, string[]>,
): void {
  for (let index = 1; index < arg.length; index++) {
    const letter = arg.charAt(index);
    const spec = specs.find((candidate) => candidate.short === letter);
    if (!spec) throw new UsageError(`unknown option "-${letter}"${arg.length > 2 ? ` in "${arg}"` : ''}`);
    if (spec.value === undefined) {
      add(values, spec, 'true');
      continue;
    }
    const inline = arg.slice(index + 1).replace(/^=/, '');
    add(values, spec, inline === '' ? nextValue(`-${letter}`, rest) : inline);
    return;
  }
}

function add(values: Map<string, string[]>, { name }: OptionSpec, value: string): void {
  values.set(name, [...(values.get(name) ?? []), value]);
}

function nextValue(option: string, rest: string[]): string {
  const value = rest.shift();
  if (value === undefined) throw new UsageError(`option "${option}" needs a value`);
  return value;
}

function flagValue({ name }: OptionSpec, inline: string | undefined): string {
  if (inline === undefined || inline === 'true' || inline === 'false') return inline ?? 'true';
  throw new UsageError(`option "--${name}" is a flag; its value is "${inline}", want true or false`);
}
