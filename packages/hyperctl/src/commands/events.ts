import type { HyperEvent } from '@hyperd/client';
import type { Command } from '../command.ts';
import { filterOption, filtersOf } from '../filters.ts';
import { LIST_FORMAT, listFormat } from '../format.ts';
import { printable } from '../table.ts';
import { TIME_HELP, timeOption } from '../time-option.ts';
import { write } from '../write.ts';

export const command: Command = {
  name: 'events',
  operands: '',
  summary: 'Print what happens to pods, containers, images and machines, as it happens',
  details: `The daemon knows the last 1024 events since it was started. With --until in the past, only those are printed.`,
  options: [
    { name: 'since', value: 'TIME', help: `begin with what is known since then: ${TIME_HELP}` },
    { name: 'until', value: 'TIME', help: `end at that time: ${TIME_HELP}` },
    filterOption('type, event, pod, container, image, label=KEY[=VALUE]'),
    { ...LIST_FORMAT, help: 'table (the default: a line of text an event) or json: one object a line' },
  ],
  operandCount: [0, 0],
  async run({ client, options, terminal: { stdout } }) {
    const [since, until] = [timeOption(options, 'since'), timeOption(options, 'until')];
    const asJson = listFormat(options) === 'json';
    const filters = filtersOf(options);
    const events = client.events({
      ...(since ? { since } : {}),
      ...(until ? { until } : {}),
      ...(filters ? { filters } : {}),
    });
    for await (const event of events)
      await write(stdout, `${asJson ? JSON.stringify(event) : lineOf(event)}\n`);
    return 0;
  },
};

/** `2026-01-02T03:04:05.678Z container die web (exitCode=1, image=busybox, pod=web)` */
export function lineOf({ timeNano, type, action, id, name, attributes }: HyperEvent): string {
  const pairs = Object.entries(attributes).map(([key, value]) => `${key}=${value}`);
  const details = pairs.length > 0 ? ` (${pairs.sort().join(', ')})` : '';
  return printable(`${new Date(timeNano / 1e6).toISOString()} ${type} ${action} ${name || id}${details}`);
}
