import type { Command } from '../command.ts';
import { PUBLISH_VALUE, portMapping } from '../port-mapping.ts';
import { table } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'ports',
  operands: 'ls|add|delete POD',
  summary: 'List, add or delete published ports of a pod',
  details: `"add" publishes ports while the pod runs, all of them or none. "delete" takes back what has the same protocol and container
port, on whatever port of the host that is published.`,
  options: [
    {
      name: 'publish',
      short: 'p',
      value: PUBLISH_VALUE,
      repeats: true,
      help: 'for add and delete: a port or range',
    },
  ],
  operandCount: [2, 2],
  async run({ client, options, operands, terminal }) {
    const [action = '', pod = ''] = operands;
    const mappings = options.all('publish').map(portMapping);
    if (action !== 'ls' && mappings.length === 0)
      throw new UsageError(`ports ${action} needs -p ${PUBLISH_VALUE}`);
    switch (action) {
      case 'ls': {
        const rows = (await client.portMappings(pod)).map(
          ({ protocol = '', hostPort = '', hostIP, containerPort }) => [
            ...[protocol, hostIP ? `${hostIP}:${hostPort}` : hostPort, containerPort],
          ],
        );
        terminal.stdout.write(table([['Protocol', 'Host Ports', 'Container Ports'], ...rows]));
        return 0;
      }
      case 'add':
        await client.addPortMappings(pod, mappings);
        return 0;
      case 'delete':
        await client.deletePortMappings(pod, mappings);
        return 0;
      default:
        throw new UsageError(`ports "${action}": want ls, add or delete`);
    }
  },
};
