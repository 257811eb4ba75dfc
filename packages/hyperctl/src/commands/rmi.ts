import type { Command } from '../command.ts';
import { forEach } from '../for-each.ts';

export const command: Command = {
  name: 'rmi',
  operands: 'IMAGE...',
  summary: 'Remove images, or names of them',
  options: [
    { name: 'force', short: 'f', help: 'remove all names of the image' },
    { name: 'no-prune', help: 'accepted; layers have no images of their own' },
  ],
  operandCount: [1, Number.POSITIVE_INFINITY],
  run: ({ client, options, operands, terminal }) =>
    forEach(operands, terminal, async (image) => {
      await client.removeImage(image, { force: options.flag('force'), noPrune: options.flag('no-prune') });
      return `Image(${image}) is successful to be deleted!`;
    }),
};
