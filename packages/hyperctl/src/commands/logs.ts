import type { Command } from '../command.ts';
import { findContainer } from '../find-container.ts';
import { writeOutput } from '../session-io.ts';
import { TIME_HELP, timeOption } from '../time-option.ts';

export const command: Command = {
  name: 'logs',
  operands: 'CONTAINER|POD',
  summary: 'Print what a container, or the first one of a pod, has written',
  options: [
    { name: 'follow', short: 'f', help: 'go on until the container ends' },
    { name: 'since', value: 'TIME', help: `only what is newer: ${TIME_HELP}` },
    {
      name: 'until',
      value: 'TIME',
      help: `only what is not newer; what is followed ends then: ${TIME_HELP}`,
    },
    { name: 'timestamps', short: 't', help: 'put the time before every line' },
    { name: 'tail', value: 'N', help: 'only the last N lines (default: all)' },
  ],
  operandCount: [1, 1],
  async run({ client, options, operands: [reference = ''], terminal }) {
    const { container } = await findContainer(client, reference);
    const tail = options.text('tail') === 'all' ? undefined : options.integer('tail', 0);
    const [since, until] = [timeOption(options, 'since'), timeOption(options, 'until')];
    const output = client.logs(container.containerID, {
      tty: container.tty ?? false,
      follow: options.flag('follow'),
      timestamps: options.flag('timestamps'),
      ...(since === undefined ? {} : { since: String(since.getTime() / 1000) }),
      ...(until === undefined ? {} : { until: String(until.getTime() / 1000) }),
      ...(tail === undefined ? {} : { tail }),
    });
    await writeOutput(output, terminal);
    return 0;
  },
};
