import type { Command } from '../command.ts';
import { keyValueObject } from '../key-values.ts';
import { table } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'network',
  operands: 'create|ls|inspect|rm|connect|disconnect [NAME...]',
  summary: 'Create, list, describe or remove networks of pods, or put a pod on one',
  details: `Pods on one network reach each other by address and by name, those on another one do not. The daemon has to run as root. A pod is
put on a network with "run --network NAME". "connect NETWORK POD" puts it on a further one, also while it runs, "disconnect NETWORK POD" takes
it off again.`,
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
    {
      name: 'ip',
      value: 'ADDRESS',
      help: 'for connect: address of the pod on the network (default: one that is free)',
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
      case 'connect': {
        const [network, pod] = placeOf(action, names);
        const address = options.text('ip');
        await client.connectNetwork(network, pod, address ? { address } : {});
        return 0;
      }
      case 'disconnect':
        await client.disconnectNetwork(...placeOf(action, names));
        return 0;
      case 'rm':
        for (const name of names) await client.removeNetwork(name);
        return 0;
      default:
        throw new UsageError(`network "${action}": want create, ls, inspect, rm, connect or disconnect`);
    }
  },
};

function placeOf(action: string, names: readonly string[]): [network: string, pod: string] {
  const [network, pod] = names;
  if (network === undefined || pod === undefined || names.length > 2)
    throw new UsageError(`network ${action} takes a NETWORK and a POD`);
  return [network, pod];
}
