import type { Command } from '../command.ts';
import { forEach } from '../for-each.ts';

export const command: Command = {
  name: 'stop',
  operands: 'POD|CONTAINER...',
  summary: 'Stop pods, or with -c containers: stop signal, and SIGKILL after 5 s',
  options: [
    { name: 'container', short: 'c', help: 'the ids are those of containers' },
    { name: 'onlypod', help: 'keep the machines of the pods: they wait for other ones' },
    { name: 'time', short: 't', value: 'SECONDS', help: 'until SIGKILL (default 5; 0: at once)' },
  ],
  operandCount: [1, Number.POSITIVE_INFINITY],
  run: ({ client, options, operands, terminal }) => {
    const timeoutSeconds = options.integer('time', 0);
    return forEach(operands, terminal, async (id) => {
      if (options.flag('container')) {
        await client.stopContainer(id, { timeoutSeconds });
        return undefined;
      }
      await client.stopPod(id, { keepMachine: options.flag('onlypod'), timeoutSeconds });
      return `Successfully shutdown the POD: ${id}!`;
    });
  },
};
