import { ask } from '../ask.ts';
import type { Command } from '../command.ts';
import { decimalSize } from '../format.ts';
import { removalLines } from '../removals.ts';

export const command: Command = {
  name: 'prune',
  operands: '',
  summary: 'Remove images that no container uses: those without a tag, or with -a all',
  options: [
    { name: 'all', short: 'a', help: 'also images with a tag; with -b all steps, and the caches of RUN' },
    {
      name: 'builds',
      short: 'b',
      help: 'forget what steps of earlier builds have made, in place of removing images',
    },
    { name: 'force', short: 'f', help: 'do not ask; without a terminal nobody is asked' },
  ],
  operandCount: [0, 0],
  async run({ client, options, terminal }) {
    const all = options.flag('all');
    if (terminal.stdin.isTTY && !options.flag('force')) {
      const answer = await ask(
        `This removes ${whatOf(all, options.flag('builds'))}. Go on? [y/N] `,
        terminal,
      );
      if (!/^y(es)?$/i.test(answer)) return 0;
    }
    if (options.flag('builds')) {
      const { steps, reclaimedBytes } = await client.images.pruneBuilds({ all });
      terminal.stdout.write(
        `Forgotten steps: ${steps}\nTotal reclaimed space: ${decimalSize(reclaimedBytes)}\n`,
      );
      return 0;
    }
    const { removals, reclaimedBytes } = await client.images.prune({ all });
    terminal.stdout.write(`${removalLines(removals)}Total reclaimed space: ${decimalSize(reclaimedBytes)}\n`);
    return 0;
  },
};

function whatOf(all: boolean, builds: boolean): string {
  if (builds)
    return all
      ? 'all that steps of builds have made'
      : 'what steps of builds have made and is old or too much';
  return all ? 'all images that no container uses' : 'all images without a tag that no container uses';
}
