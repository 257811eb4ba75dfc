import type { Command } from '../command.ts';
import { keyValueObject } from '../key-values.ts';
import { table } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'network',
  operands: 'create|ls|inspect|rm [NAME...]',
  summary: 'Create, list, describe or remove networks of pods',
  details: `Pods on one network reach each other by address and by name, those on another one do not. The daemon has to run as root. A pod is
put on a network with "run --network NAME".`,
  options: [
    {
      name: 'subnet',
      value: 'ADDRESS/LENGTH',
      help: 'for create: addresses of the network (default: a subnet that is free)',
    },
    {
      name: 'gateway',
      value: 'ADDRESS',
      help: "for create: address of the host (default: the subnet's first)",
    },
    {
      name: 'mtu',
      value: 'BYTES',
      help: "for create: largest packet (default: as the host's way to the world has it)",
    },
    { name: 'label', value: 'KEY=VALUE', repeats: true, help: 'for create: label of the network' },
  ],
  operandCount: [1, Number.POSITIVE_INFINITY],
  async run({ client, options, operands: [action = '', ...names], terminal }) {
    if (action !== 'ls' && names.length === 0) throw new UsageError(`network ${action} needs a NAME`);
    switch (action) {
      case 'create': {
        const [name = '', ...more] = names;
        if (more.length > 0) throw new UsageError('network create takes one NAME');
        const [subnet, gateway, mtu] = [
          options.text('subnet'),
          options.text('gateway'),
          options.integer('mtu', 1),
        ];
        const labels = keyValueObject(options, 'label');
        await client.createNetwork({
          ...{ name, ...(subnet && { subnet }), ...(gateway && { gateway }), ...(mtu && { mtu }) },
          ...(labels && { labels }),
        });
        terminal.stdout.write(`${name}\n`);
        return 0;
      }
      case 'ls': {
        const rows = (await client.networks()).map(({ name, subnet, gateway, bridge, pods }) => [
          ...[name, subnet, gateway, bridge, String(pods.length)],
        ]);
        terminal.stdout.write(table([['Name', 'Subnet', 'Gateway', 'Bridge', 'Pods'], ...rows]));
        return 0;
      }
      case 'inspect': {
        const networks = [];
        for (const name of names) networks.push(await client.network(name));
        terminal.stdout.write(`${JSON.stringify(networks, null, 2)}\n`);
        return 0;
      }
      case 'rm':
        for (const name of names) await client.removeNetwork(name);
        return 0;
      default:
        throw new UsageError(`network "${action}": want create, ls, inspect or rm`);
    }
  },
};
