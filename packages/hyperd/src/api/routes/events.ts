import type { AnswerStream, Route } from '../call.ts';
import { ofType } from '../describe.ts';
import { EVENT_FILTERS, eventFilter } from '../event-filters.ts';
import type { Parameters } from '../parameters.ts';
import { unixTimeNs } from '../unix-time.ts';
import type { RouteContext } from './context.ts';

/** What happens. */
export function eventRoutes({ events }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/events' },
      summary: 'Streams what happens to pods, containers, images and machines',
      parameters: {
        since: 'unix time, `seconds[.nanoseconds]`: begin with what is still known from then on',
        until: 'unix time that ends the stream; in the past: only what is known',
        filters: `JSON object of lists: ${EVENT_FILTERS.map((name) => `\`${name}\``).join(', ')}`,
      },
      answers: { 200: ofType('application/x-ndjson', 'stream of JSON objects, one a line') },
      handle: ({ parameters, signal }) => {
        const stream = events.follow({
          sinceNs: timeOf(parameters, 'since'),
          untilNs: timeOf(parameters, 'until'),
          matches: eventFilter(parameters.text('filters')),
          signal,
        });
        return {
          kind: 'stream',
          contentType: 'application/x-ndjson',
          async produce(out: AnswerStream) {
            out.open();
            for await (const event of stream) await out.write(`${JSON.stringify(event)}\n`);
          },
        };
      },
    },
  ];
}

function timeOf(parameters: Parameters, name: string): number | undefined {
  const text = parameters.text(name);
  return text === '' ? undefined : unixTimeNs(name, text);
}
