import { ask } from '../ask.ts';
import type { Command } from '../command.ts';
import { decimalSize } from '../format.ts';
import { removalLines } from '../removals.ts';

export const command: Command = {
  name: 'prune',
  operands: '',
  summary: 'Remove images that no container uses: those without a tag, or with -a all',
  options: [
    { name: 'all', short: 'a', help: 'also images with a tag' },
    { name: 'force', short: 'f', help: 'do not ask; without a terminal nobody is asked' },
  ],
  operandCount: [0, 0],
  async run({ client, options, terminal }) {
    const all = options.flag('all');
    if (terminal.stdin.isTTY && !options.flag('force')) {
      const which = all
        ? 'all images that no container uses'
        : 'all images without a tag that no container uses';
      const answer = await ask(`This removes ${which}. Go on? [y/N] `, terminal);
      if (!/^y(es)?$/i.test(answer)) return 0;
    }
    const { removals, reclaimedBytes } = await client.images.prune({ all });
    terminal.stdout.write(`${removalLines(removals)}Total reclaimed space: ${decimalSize(reclaimedBytes)}\n`);
    return 0;
  },
};
