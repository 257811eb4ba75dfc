import type { Command } from '../command.ts';
import { forEach } from '../for-each.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'rm',
  operands: 'POD|CONTAINER...',
  summary: 'Remove pods, or with -c containers; running ones are ended',
  options: [
    { name: 'container', short: 'c', help: 'the ids are those of containers' },
    { name: 'all', short: 'a', help: 'all pods, or with -c all containers' },
  ],
  operandCount: [0, Number.POSITIVE_INFINITY],
  async run({ client, options, operands, terminal }) {
    const ofContainers = options.flag('container');
    const all = options.flag('all');
    if (all === operands.length > 0) throw new UsageError('rm needs ids, or --all');
    const listed = all ? await (ofContainers ? client.containers() : client.pods()) : [];
    const ids = all ? listed.map(({ id }) => id) : operands;
    return forEach(ids, terminal, async (id) => {
      await (ofContainers ? client.removeContainer(id) : client.removePod(id));
      return ofContainers
        ? `container ${id} is successfully deleted!`
        : `Pod(${id}) is successfully deleted!`;
    });
  },
};
