import type { Command } from '../command.ts';

export const command: Command = {
  name: 'start',
  operands: 'POD|CONTAINER...',
  summary: 'Start pods, or with -c containers',
  options: [{ name: 'container', short: 'c', help: 'the ids are those of containers' }],
  operandCount: [1, Number.POSITIVE_INFINITY],
  async run({ client, options, operands, terminal }) {
    for (const id of operands) {
      if (options.flag('container')) {
        await client.startContainer(id);
        terminal.stdout.write(`Successfully started container ${id}\n`);
      } else {
        await client.startPod(id);
        terminal.stdout.write(`Successfully started the Pod(${id})\n`);
      }
    }
    return 0;
  },
};
