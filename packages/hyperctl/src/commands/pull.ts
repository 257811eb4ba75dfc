import type { Command } from '../command.ts';
import { pullImage, withDefaultTag } from '../pull.ts';

export const command: Command = {
  name: 'pull',
  operands: 'IMAGE',
  summary: 'Pull an image from its registry',
  details: 'Credentials are those that "docker login" has stored.',
  options: [],
  operandCount: [1, 1],
  async run({ client, operands: [image = ''], terminal }) {
    const reference = withDefaultTag(image);
    if (reference !== image) terminal.stdout.write('Using default tag: latest\n');
    await pullImage(client, reference, terminal.stdout);
    return 0;
  },
};
