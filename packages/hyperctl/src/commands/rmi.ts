import type { Command } from '../command.ts';
import { forEach } from '../for-each.ts';
import { removalLines } from '../removals.ts';

export const command: Command = {
  name: 'rmi',
  operands: 'IMAGE...',
  summary: 'Remove images, or names of them',
  options: [
    {
      ...{ name: 'force', short: 'f' },
      help: 'all names of the image, also where stopped containers need it',
    },
    { name: 'no-prune', help: 'accepted; layers have no images of their own' },
  ],
  operandCount: [1, Number.POSITIVE_INFINITY],
  run: ({ client, options, operands, terminal }) =>
    forEach(operands, terminal, async (image) => {
      const [force, noPrune] = [options.flag('force'), options.flag('no-prune')];
      const removals = await client.images.remove(image, { force, noPrune });
      return `${removalLines(removals)}Image(${image}) is successful to be deleted!`;
    }),
};
