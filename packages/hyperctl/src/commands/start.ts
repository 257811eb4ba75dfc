import type { Command } from '../command.ts';
import type { Options } from '../options.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'start',
  operands: 'POD|CONTAINER...',
  summary: 'Start pods, or with -c containers',
  options: [
    { name: 'container', short: 'c', help: 'the ids are those of containers' },
    {
      name: 'vm',
      value: 'ID',
      help: 'start the pod in this machine, which waits for one; its id may stand behind that of the pod as well',
    },
  ],
  operandCount: [1, Number.POSITIVE_INFINITY],
  async run({ client, options, operands, terminal }) {
    const { ids, machine } = machineOf(options, operands);
    for (const id of ids) {
      if (options.flag('container')) {
        await client.startContainer(id);
        terminal.stdout.write(`Successfully started container ${id}\n`);
      } else {
        await client.startPod(id, { machine });
        terminal.stdout.write(`Successfully started the Pod(${id})\n`);
      }
    }
    return 0;
  },
};

/** Ids of machines are made by the daemon; those of pods look otherwise. */
const MACHINE_ID = /^vm-[A-Za-z]{10}$/;

function machineOf(
  options: Options,
  operands: readonly string[],
): { readonly ids: readonly string[]; readonly machine: string | undefined } {
  const [pod = '', second = ''] = operands;
  const isOperand = operands.length === 2 && MACHINE_ID.test(second) && !options.flag('container');
  const machine = options.text('vm') ?? (isOperand ? second : undefined);
  const ids = isOperand ? [pod] : operands;
  if (machine !== undefined && (ids.length !== 1 || options.flag('container')))
    throw new UsageError('start in a machine takes one POD');
  return { ids, machine };
}
