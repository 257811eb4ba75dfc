import type { Command, CommandContext } from '../command.ts';
import { forEach } from '../for-each.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'vm',
  operands: '[create | rm ID...]',
  summary: 'Make a machine that waits for a pod (the default), or end machines',
  details: `A pod is started in it with "hyperctl start POD --vm ID", and leaves it behind with "hyperctl stop --onlypod POD". Ending a machine
ends its pod as well. "hyperctl list vm" shows them.`,
  options: [
    { name: 'cpu', short: 'c', value: 'N', help: 'virtual processors (default 1)' },
    { name: 'memory', short: 'm', value: 'MIB', help: 'memory in MiB (default 128)' },
  ],
  operandCount: [0, Number.POSITIVE_INFINITY],
  async run(context) {
    const [action = 'create', ...ids] = context.operands;
    if (action === 'create' && ids.length === 0) return create(context);
    if (action === 'rm' && ids.length > 0) return remove(context, ids);
    throw new UsageError(`vm "${context.operands.join(' ')}": want "create", or "rm" with ids of machines`);
  },
};

async function create({ client, options, terminal }: CommandContext): Promise<number> {
  const shape = { vcpus: options.integer('cpu', 1), memoryMib: options.integer('memory', 1) };
  terminal.stdout.write(`New VM id is ${await client.createMachine(shape)}\n`);
  return 0;
}

function remove({ client, terminal }: CommandContext, ids: readonly string[]): Promise<number> {
  return forEach(ids, terminal, async (id) => {
    await client.removeMachine(id);
    return undefined;
  });
}
