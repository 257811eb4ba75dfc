import { HyperError } from '../errors.ts';

/**
 * Reads Docker's `filters`: a JSON object of lists, or of objects whose keys count; empty text is none. Throws `invalid-argument`, also for a name
 * that is not among `known`.
 */
export function filterLists(text: string, known: readonly string[]): ReadonlyMap<string, readonly string[]> {
  if (text === '') return new Map();
  const wanted = `want a JSON object of lists: ${known.join(', ')}`;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new HyperError('invalid-argument', `read filters "${text}": ${wanted}`, { cause: error });
  }
  if (typeof json !== 'object' || Array.isArray(json)) {
    throw new HyperError('invalid-argument', `read filters "${text}": ${wanted}`);
  }
  const lists = Object.entries(json ?? {});
  const unknown = lists.find(([name]) => !known.includes(name));
  if (unknown) {
    throw new HyperError(
      'invalid-argument',
      `read filters: "${unknown[0]}" is not known, want ${known.join(', ')}`,
    );
  }
  return new Map(
    lists.map(([name, values]) => [
      name,
      Array.isArray(values) ? values.map(String) : Object.keys(values ?? {}),
    ]),
  );
}

/** Whether the labels have `KEY`, or `KEY=VALUE`. */
export function hasLabel(labels: Readonly<Record<string, string>>, label: string): boolean {
  const equals = label.indexOf('=');
  if (equals < 0) return Object.hasOwn(labels, label);
  const name = label.slice(0, equals);
  return Object.hasOwn(labels, name) && labels[name] === label.slice(equals + 1);
}
