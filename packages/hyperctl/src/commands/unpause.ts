import type { Command } from '../command.ts';

export const command: Command = {
  name: 'unpause',
  operands: 'POD',
  summary: 'Let a paused pod go on',
  options: [],
  operandCount: [1, 1],
  async run({ client, operands: [pod = ''] }) {
    await client.unpausePod(pod);
    return 0;
  },
};
