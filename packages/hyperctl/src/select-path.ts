import { UsageError } from './usage-error.ts';

type Step = string | number;

const STEP = /\.?([A-Za-z_$][\w$-]*)|\[(\d{1,9})\]|\[("(?:[^"\\]|\\.)*")\]/y;

/** Reads `.a.b[0]["c.d"]`, also in braces as Docker's templates have it: `{{.a.b}}`. Throws UsageError. */
export function parsePath(text: string): Step[] {
  const path = /^\{\{\s*(.*?)\s*\}\}$/.exec(text)?.[1] ?? text.trim();
  const steps: Step[] = [];
  STEP.lastIndex = 0;
  while (STEP.lastIndex < path.length && path !== '.') {
    const at = STEP.lastIndex;
    const [, key, index, quoted] = STEP.exec(path) ?? [];
    if (key !== undefined) steps.push(key);
    else if (index !== undefined) steps.push(Number(index));
    else if (quoted !== undefined) steps.push(JSON.parse(quoted) as string);
    else
      throw new UsageError(
        `--format "${text}" is not understood at "${path.slice(at)}", want a path such as .status.phase or .spec.containers[0].name`,
      );
  }
  return steps;
}

/** What stands at the path: text as it is, everything else as JSON. Throws where there is nothing, and tells what there is. */
export function selectPath(value: unknown, steps: readonly Step[]): string {
  let found = value;
  let walked = '';
  for (const step of steps) {
    const next = child(found, step);
    if (next === undefined)
      throw new Error(`select "${walked}${shown(step)}": there is no such member; there ${whatIs(found)}`);
    found = next;
    walked += shown(step);
  }
  return typeof found === 'string' ? found : JSON.stringify(found);
}

/** Keys match in any case where none matches exactly. */
function child(value: unknown, step: Step): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  if (typeof step === 'number') return Array.isArray(value) ? value[step] : undefined;
  const key = Object.hasOwn(value, step)
    ? step
    : Object.keys(value).find((name) => name.toLowerCase() === step.toLowerCase());
  return key === undefined ? undefined : (value as Record<string, unknown>)[key];
}

function shown(step: Step): string {
  return typeof step === 'number' ? `[${step}]` : `.${step}`;
}

function whatIs(value: unknown): string {
  if (Array.isArray(value)) return `is a list of ${value.length}`;
  if (typeof value !== 'object' || value === null) return `is ${JSON.stringify(value)}`;
  return `are ${Object.keys(value).slice(0, 40).join(', ') || 'none'}`;
}
