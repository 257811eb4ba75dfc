import type { Command } from '../command.ts';
import { decimalSize, localTime } from '../format.ts';
import { table } from '../table.ts';

const SHORT_ID_LENGTH = 12;

export const command: Command = {
  name: 'images',
  operands: '[REPOSITORY]',
  summary: 'List images',
  options: [
    { name: 'all', short: 'a', help: 'accepted; there are no intermediate images' },
    { name: 'quiet', short: 'q', help: 'ids only' },
  ],
  operandCount: [0, 1],
  async run({ client, options, operands: [filter], terminal }) {
    const images = await client.images({ all: options.flag('all'), ...(filter ? { filter } : {}) });
    const rows = images.map(({ repository, tag, id, createdAt, sizeBytes }) => [
      ...[repository, tag, id.slice(0, SHORT_ID_LENGTH), localTime(createdAt), decimalSize(sizeBytes)],
    ]);
    terminal.stdout.write(
      options.flag('quiet')
        ? images.map(({ id }) => `${id.slice(0, SHORT_ID_LENGTH)}\n`).join('')
        : table([['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'VIRTUAL SIZE'], ...rows]),
    );
    return 0;
  },
};
