import { HyperError, messageOf } from '../errors.ts';

/** One entry of the original's `VmFactoryPolicy`. */
export interface FactoryPolicy {
  /** Machines that wait for a pod. */
  readonly cache: number;
  /** Machines of that size are cloned from a template, which is made when the daemon starts; else they are booted. */
  readonly template: boolean;
  readonly shape: { readonly vcpus: number; readonly memoryMib: number };
}

/** The original's defaults for what an entry leaves out. */
const DEFAULTS = { cache: 0, template: false, cpu: 1, memory: 128 };
const BOUNDS = { cache: [0, 256], cpu: [1, 240], memory: [4, 1_048_576] } as const;
const MAX_ENTRIES = 32;
const EXAMPLE = '{"cache":2,"template":true,"cpu":1,"memory":128}';

export const FACTORY_POLICY_TEXT = `none, or JSON objects with cache, template, cpu and memory, comma-separated, such as ${EXAMPLE}`;

/**
 * Parses `{"cache":2,"template":true,"cpu":1,"memory":128},{...}`: names in any case, as the original's parser takes them; `none` and nothing are no entry.
 * Throws `invalid-argument` with what is wrong and what would be right.
 */
export function parseFactoryPolicy(text: string): FactoryPolicy[] {
  if (text.trim() === '' || text.trim() === 'none') return [];
  let entries: unknown[];
  try {
    entries = JSON.parse(`[${text}]`) as unknown[];
  } catch (error) {
    throw invalid(`${messageOf(error)}; want ${FACTORY_POLICY_TEXT}`);
  }
  if (entries.length > MAX_ENTRIES) throw invalid(`${entries.length} entries; want at most ${MAX_ENTRIES}`);
  return entries.map((entry, index) => policyOf(entry, `entry ${index + 1}`));
}

function policyOf(entry: unknown, where: string): FactoryPolicy {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry))
    throw invalid(`${where} is ${JSON.stringify(entry)}; want an object such as ${EXAMPLE}`);
  const values: Record<string, unknown> = { ...DEFAULTS };
  for (const [name, value] of Object.entries(entry)) {
    const known = name.toLowerCase();
    if (!Object.hasOwn(DEFAULTS, known))
      throw invalid(`${where} has "${name.slice(0, 32)}"; want cache, template, cpu and memory`);
    values[known] = value;
  }
  const { template } = values;
  if (typeof template !== 'boolean')
    throw invalid(`${where}: template is ${JSON.stringify(template)}; want true or false`);
  const number = (name: keyof typeof BOUNDS): number => {
    const value = values[name];
    const [least, most] = BOUNDS[name];
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    throw invalid(
      `${where}: ${name} is ${JSON.stringify(value)}; want a whole number from ${least} to ${most}`,
    );
  };
  const shape = { vcpus: number('cpu'), memoryMib: number('memory') };
  return { cache: number('cache'), template, shape };
}

function invalid(what: string): HyperError {
  return new HyperError('invalid-argument', `VmFactoryPolicy: ${what}`);
}
