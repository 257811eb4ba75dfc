import type { Command } from '../command.ts';
import { findContainer } from '../find-container.ts';

export const command: Command = {
  name: 'wait',
  operands: 'CONTAINER|POD...',
  summary: 'Wait until containers, or the first ones of pods, have ended; print their exit codes',
  options: [],
  operandCount: [1, Number.POSITIVE_INFINITY],
  async run({ client, operands, terminal }) {
    for (const reference of operands) {
      const { container } = await findContainer(client, reference);
      terminal.stdout.write(`${await client.wait(container.containerID)}\n`);
    }
    return 0;
  },
};
