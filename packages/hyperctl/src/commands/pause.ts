import type { Command } from '../command.ts';

export const command: Command = {
  name: 'pause',
  operands: 'POD',
  summary: "Stop a pod's clocks",
  options: [],
  operandCount: [1, 1],
  async run({ client, operands: [pod = ''] }) {
    await client.pausePod(pod);
    return 0;
  },
};
