import type { ListOptions } from '@hyperd/client';
import type { Command, CommandContext } from '../command.ts';
import { filterOption, filtersOf } from '../filters.ts';
import { jsonLines, LIST_FORMAT, listFormat } from '../format.ts';
import type { OptionSpec } from '../options.ts';
import { table } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const LIST_OPTIONS: readonly OptionSpec[] = [
  { name: 'pod', short: 'p', value: 'POD', help: 'only what belongs to this pod' },
  { name: 'vm', short: 'm', value: 'ID', help: 'only what belongs to this machine' },
  { name: 'quiet', short: 'q', help: 'ids only' },
  filterOption('status=STATUS, label=KEY[=VALUE]'),
  LIST_FORMAT,
];

export const command: Command = {
  name: 'list',
  operands: '[pod|container|vm]',
  summary: 'List pods (the default), containers or machines',
  options: [
    ...LIST_OPTIONS,
    { name: 'aux', short: 'x', help: 'accepted; there are no containers but those that were asked for' },
  ],
  operandCount: [0, 1],
  run: (context) => list(context, itemOf(context.operands[0] ?? 'pod')),
};

type Item = 'pod' | 'container' | 'vm';

function itemOf(text: string): Item {
  const item = text.replace(/s$/, '');
  if (item === 'pod' || item === 'container' || item === 'vm') return item;
  throw new UsageError(`list "${text}": want pod, container or vm`);
}

/** Prints the items as options say. */
export async function list(context: CommandContext, item: Item): Promise<number> {
  const { client, options, terminal } = context;
  const asJson = listFormat(options) === 'json';
  const filters = filtersOf(options);
  const [pod, machine] = [options.text('pod'), options.text('vm')];
  const selection: ListOptions = {
    ...(pod ? { pod } : {}),
    ...(machine ? { machine } : {}),
    ...(filters ? { filters } : {}),
  };
  if (asJson) {
    terminal.stdout.write(jsonLines(await client.listed(item, selection)));
    return 0;
  }
  const [head, rows] = await tableRows(context, item, selection);
  const ids = rows.map(([id = '']) => `${id}\n`);
  terminal.stdout.write(options.flag('quiet') ? ids.join('') : table([head, ...rows]));
  return 0;
}

/** With filters the daemon is asked for more; without, for what clients of the original ask for. */
async function tableRows(
  { client }: CommandContext,
  item: Item,
  selection: ListOptions,
): Promise<readonly [head: string[], rows: string[][]]> {
  const isFiltered = selection.filters !== undefined;
  switch (item) {
    case 'pod': {
      const pods = isFiltered
        ? (await client.listed('pod', selection)).map((pod) => ({ ...pod, name: pod.id }))
        : await client.pods(selection);
      return [
        ['POD ID', 'POD Name', 'VM name', 'Status'],
        pods.map((pod) => [pod.id, pod.name, pod.machine, pod.status]),
      ];
    }
    case 'container': {
      const containers = isFiltered
        ? await client.listed('container', selection)
        : await client.containers(selection);
      return [
        ['Container ID', 'Name', 'POD ID', 'Status'],
        containers.map(({ id, name, pod, status }) => [id, name, pod, status]),
      ];
    }
    case 'vm': {
      const machines = isFiltered ? await client.listed('vm', selection) : await client.machines(selection);
      return [['VM name', 'Status'], machines.map(({ id, status }) => [id, status])];
    }
  }
}
