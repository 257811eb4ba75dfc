import type { Command } from '../command.ts';

export const command: Command = {
  name: 'commit',
  operands: 'CONTAINER [REPOSITORY[:TAG]]',
  summary: 'Make an image of what a container has changed',
  details:
    "The container may run or not. The image has the layers of the container's image, one of the changes, and the container's configuration.",
  options: [
    { name: 'author', short: 'a', value: 'TEXT', help: 'who made it' },
    {
      ...{ name: 'change', short: 'c', value: 'INSTRUCTION', repeats: true },
      help: 'a Dockerfile instruction for its configuration, such as "USER nobody"',
    },
    { name: 'message', short: 'm', value: 'TEXT', help: 'a comment on it' },
    { name: 'pause', short: 'p', help: 'the container stands still meanwhile' },
  ],
  operandCount: [1, 2],
  async run({ client, options, operands: [container = '', reference], terminal }) {
    const id = await client.commit(container, {
      ...(reference !== undefined && { reference }),
      ...{ author: options.text('author'), message: options.text('message') },
      ...{ changes: options.all('change'), pause: options.flag('pause') },
    });
    terminal.stdout.write(`${id}\n`);
    return 0;
  },
};
