import type { HyperEvent } from '../events/index.ts';
import { filterLists, hasLabel } from './filters.ts';

export const EVENT_FILTERS = ['type', 'event', 'pod', 'container', 'image', 'label'];

type Test = (event: HyperEvent, value: string) => boolean;

/** One value of each list has to match. */
const TESTS: Readonly<Record<string, Test>> = {
  type: (event, value) => event.type === value,
  event: (event, value) => event.action === value,
  pod: ({ type, id, attributes }, value) => (type === 'pod' ? id : attributes.pod) === value,
  container: ({ type, id, name }, value) => type === 'container' && isNamed({ id, name }, value),
  image: ({ type, id, name, attributes }, value) =>
    type === 'image'
      ? isImage({ id, name }, value)
      : isImage({ id: '', name: attributes.image ?? '' }, value),
};

/** Reads Docker's `filters` for events: values of one list are alternatives, but for labels, which all have to be there. Throws `invalid-argument`. */
export function eventFilter(text: string): (event: HyperEvent) => boolean {
  const lists = filterLists(text, EVENT_FILTERS);
  const labels = lists.get('label') ?? [];
  const tests = Object.entries(TESTS).flatMap(([name, test]) => {
    const values = lists.get(name) ?? [];
    return values.length > 0 ? [(event: HyperEvent) => values.some((value) => test(event, value))] : [];
  });
  return (event) =>
    labels.every((label) => hasLabel(event.labels ?? {}, label)) && tests.every((test) => test(event));
}

function isNamed({ id, name }: { readonly id: string; readonly name: string }, value: string): boolean {
  return name === value || (value !== '' && id.startsWith(value));
}

/** By id with or without algorithm, name, or name without its tag. */
function isImage({ id, name }: { readonly id: string; readonly name: string }, value: string): boolean {
  const bare = id.replace(/^sha256:/, '');
  return (
    name === value ||
    name.replace(/:[^/:]*$/, '') === value ||
    `${name}:latest` === value ||
    (/^[0-9a-f]{4,}$/.test(value) && bare.startsWith(value)) ||
    id === value
  );
}
