import type { Command } from '../command.ts';

export const command: Command = {
  name: 'tag',
  operands: 'IMAGE NAME[:TAG]',
  summary: 'Give an image a further name',
  options: [],
  operandCount: [2, 2],
  async run({ client, operands: [image = '', name = ''] }) {
    await client.images.tag(image, name);
    return 0;
  },
};
