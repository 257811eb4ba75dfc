import type { Command, CommandContext } from '../command.ts';
import { table } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'list',
  operands: '[pod|container|vm]',
  summary: 'List pods (the default), containers or machines',
  options: [
    { name: 'pod', short: 'p', value: 'ID', help: 'only what belongs to this pod' },
    { name: 'vm', short: 'm', value: 'ID', help: 'only what belongs to this machine' },
    { name: 'quiet', short: 'q', help: 'ids only' },
  ],
  operandCount: [0, 1],
  async run(context) {
    const rows = await rowsOf(context);
    const { options, terminal } = context;
    const ids = rows.slice(1).map(([id = '']) => `${id}\n`);
    terminal.stdout.write(options.flag('quiet') ? ids.join('') : table(rows));
    return 0;
  },
};

async function rowsOf({ client, options, operands }: CommandContext): Promise<string[][]> {
  const [item = 'pod'] = operands;
  const [pod, machine] = [options.text('pod'), options.text('vm')];
  const filter = { ...(pod ? { pod } : {}), ...(machine ? { machine } : {}) };
  switch (item) {
    case 'pod':
    case 'pods':
      return [
        ['POD ID', 'POD Name', 'VM name', 'Status'],
        ...(await client.pods(filter)).map((entry) => [entry.id, entry.name, entry.machine, entry.status]),
      ];
    case 'container':
    case 'containers':
      return [
        ['Container ID', 'Name', 'POD ID', 'Status'],
        ...(await client.containers(filter)).map((entry) => [entry.id, entry.name, entry.pod, entry.status]),
      ];
    case 'vm':
    case 'vms':
      return [
        ['VM name', 'Status'],
        ...(await client.machines(filter)).map(({ id, status }) => [id, status]),
      ];
    default:
      throw new UsageError(`list "${item}": want pod, container or vm`);
  }
}
