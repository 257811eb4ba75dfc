import type { Command } from '../command.ts';
import { SERVICE_VALUE, serviceAddress } from '../service-address.ts';
import { table } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'service',
  operands: `ls|add|update|rm POD [${SERVICE_VALUE}...]`,
  summary: 'List, add, replace or remove balanced addresses of a pod',
  details: `Connections from the pod to a service's address go to its back ends in turn: a balancer in the pod's kernel sees to it. "update"
replaces all services of the pod, "rm" needs no back ends. The address may be any that the pod does not need otherwise.`,
  options: [],
  operandCount: [2, Number.POSITIVE_INFINITY],
  async run({ client, operands: [action = '', pod = '', ...texts], terminal }) {
    const services = texts.map(serviceAddress);
    if ((action === 'add' || action === 'rm') && services.length === 0)
      throw new UsageError(`service ${action} needs a service: ${SERVICE_VALUE}`);
    switch (action) {
      case 'ls': {
        const rows = (await client.services(pod)).map(
          ({ serviceIP, servicePort, protocol = 'tcp', hosts = [] }) => [
            ...[protocol, `${serviceIP}:${servicePort}`],
            hosts.map(({ hostIP, hostPort }) => `${hostIP}:${hostPort}`).join(','),
          ],
        );
        terminal.stdout.write(table([['Protocol', 'Address', 'Back Ends'], ...rows]));
        return 0;
      }
      case 'add':
        await client.addServices(pod, services);
        return 0;
      case 'update':
        await client.updateServices(pod, services);
        return 0;
      case 'rm':
        await client.deleteServices(pod, services);
        return 0;
      default:
        throw new UsageError(`service "${action}": want ls, add, update or rm`);
    }
  },
};
