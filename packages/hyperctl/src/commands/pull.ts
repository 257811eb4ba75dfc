import type { Command } from '../command.ts';
import { hasTagOrDigest, pullImage, withDefaultTag } from '../pull.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'pull',
  operands: 'IMAGE',
  summary: 'Pull an image from its registry',
  details: 'Credentials are those that "hyperctl login" or "docker login" has stored.',
  options: [
    { name: 'all-tags', short: 'a', help: 'pull all tags of the repository IMAGE' },
    {
      ...{ name: 'platform', value: 'OS/ARCHITECTURE[/VARIANT]' },
      help: 'of an image for several platforms this one (default: that of the host of hyperd)',
    },
    { name: 'quiet', short: 'q', help: 'print only the name, when all is there' },
  ],
  operandCount: [1, 1],
  async run({ client, options, operands: [image = ''], terminal: { stdout, stderr } }) {
    const all = options.flag('all-tags');
    if (all && hasTagOrDigest(image)) {
      throw new UsageError(`pull -a takes a repository; "${image}" has a tag or digest`);
    }
    const reference = all ? image : withDefaultTag(image);
    const isQuiet = options.flag('quiet');
    if (reference !== image && !isQuiet) stdout.write('Using default tag: latest\n');
    const output = isQuiet ? undefined : stdout;
    await pullImage(client, reference, { output, stderr }, { platform: options.text('platform') });
    if (isQuiet) stdout.write(`${reference}\n`);
    return 0;
  },
};
