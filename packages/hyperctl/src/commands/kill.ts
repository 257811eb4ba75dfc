import type { Command } from '../command.ts';
import { forEach } from '../for-each.ts';

export const command: Command = {
  name: 'kill',
  operands: 'CONTAINER|POD...',
  summary: 'Signal containers, or with -p pods',
  options: [
    { name: 'pod', short: 'p', help: 'the ids are those of pods; signal 9 ends their machines' },
    { name: 'signal', short: 's', value: 'SIGNAL', help: 'name or number (default 9)' },
  ],
  operandCount: [1, Number.POSITIVE_INFINITY],
  run: ({ client, options, operands, terminal }) => {
    const signal = options.text('signal') ?? '9';
    return forEach(operands, terminal, async (id) => {
      await (options.flag('pod') ? client.killPod(id, signal) : client.killContainer(id, signal));
      return undefined;
    });
  },
};
