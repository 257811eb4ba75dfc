import type { Static, TSchema } from 'typebox';
import { HyperError } from '../../errors.ts';

/** The part of JSON Schema that the specification's schemas use. */
interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
}

/**
 * `json` as what `schema` describes, read as the original's clients expect (Go's encoding/json): keys match in any case, the exact
 * one first; unknown keys are ignored; `null` is absent. Everything else that does not fit throws
 * `invalid-spec` with the place (`containers[0].envs[1].value`), the value and what is allowed.
 */
export function readJson<T extends TSchema>(schema: T, json: unknown, place: string): Static<T> {
  return read(schema as Schema, json, place) as Static<T>;
}

function read(schema: Schema, json: unknown, place: string): unknown {
  switch (schema.type) {
    case 'string':
      return typeof json === 'string' ? json : refuse(place, json, 'a string');
    case 'boolean':
      return typeof json === 'boolean' ? json : refuse(place, json, 'true or false');
    case 'integer':
      return readInteger(schema, json, place);
    case 'array':
      return readArray(schema, json, place);
    case 'object':
      return schema.patternProperties ? readMap(schema, json, place) : readObject(schema, json, place);
    default:
      throw new HyperError('internal', `read "${place}": schema type "${schema.type}" is not known`);
  }
}

function readInteger({ minimum, maximum }: Schema, json: unknown, place: string): number {
  const least = minimum ?? Number.MIN_SAFE_INTEGER;
  const most = maximum ?? Number.MAX_SAFE_INTEGER;
  if (typeof json === 'number' && Number.isInteger(json) && json >= least && json <= most) return json;
  return refuse(place, json, `an integer from ${least} to ${most}`);
}

function readArray({ items = {}, maxItems = 10_000 }: Schema, json: unknown, place: string): unknown[] {
  if (!Array.isArray(json)) return refuse(place, json, 'an array');
  if (json.length > maxItems) return refuse(place, `${json.length} entries`, `at most ${maxItems}`);
  return json.map((entry, index) => read(items, entry, `${place}[${index}]`));
}

function readMap(schema: Schema, json: unknown, place: string): Record<string, unknown> {
  if (!isObject(json)) return refuse(place, json, 'an object');
  const [values = {}] = Object.values(schema.patternProperties ?? {});
  return Object.fromEntries(
    Object.entries(json)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [key, read(values, value, `${place}.${key}`)]),
  );
}

function readObject(schema: Schema, json: unknown, place: string): Record<string, unknown> {
  if (!isObject(json)) return refuse(place || 'specification', json, 'an object');
  const given = new Map<string, unknown>();
  for (const [key, value] of Object.entries(json)) given.set(key.toLowerCase(), value);
  const result: Record<string, unknown> = {};
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    const value = Object.hasOwn(json, key) ? json[key] : given.get(key.toLowerCase());
    const at = place ? `${place}.${key}` : key;
    if (value !== undefined && value !== null) result[key] = read(property, value, at);
    else if (schema.required?.includes(key)) {
      throw new HyperError('invalid-spec', `read specification: "${at}" is missing`);
    }
  }
  return result;
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function refuse(place: string, value: unknown, allowed: string): never {
  throw new HyperError('invalid-spec', `read specification: "${place}" is ${show(value)}, want ${allowed}`);
}

const SHOWN_LENGTH = 64;

function show(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
}
