import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import type { Command } from '../command.ts';
import { keyValueObject } from '../key-values.ts';
import { showProgress } from '../progress-view.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'load',
  operands: '',
  summary: 'Take in images from a "docker save" archive or an OCI layout (tar, plain or compressed)',
  options: [
    { name: 'input', short: 'i', value: 'FILE', help: 'the archive (default: stdin)' },
    { name: 'name', short: 'n', value: 'NAME', help: "name for the archive's only image" },
    {
      ...{ name: 'references', short: 'r', value: 'OLD=NEW', repeats: true },
      help: 'load the image that the archive calls OLD, as NEW; others are left out',
    },
    { name: 'quiet', short: 'q', help: 'no progress' },
  ],
  operandCount: [0, 0],
  async run({ client, options, terminal }) {
    const [name, refs] = [options.text('name'), keyValueObject(options, 'references')];
    if (name !== undefined && refs) throw new UsageError('load takes -n or -r, not both');
    const path = options.text('input');
    if (path === undefined && terminal.stdin.isTTY) {
      throw new UsageError('load reads an archive from stdin; give one with -i FILE');
    }
    const archive = path === undefined ? terminal.stdin : createReadStream(path);
    if (path !== undefined) await once(archive, 'open');
    const output = options.flag('quiet') ? undefined : terminal.stdout;
    await showProgress(client.images.load(archive, { name, refs }), output);
    return 0;
  },
};
