import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import type { Command } from '../command.ts';
import { ProgressView } from '../progress-view.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'load',
  operands: '',
  summary: 'Take in images from a "docker save" archive or an OCI layout (tar, plain or compressed)',
  options: [{ name: 'input', short: 'i', value: 'FILE', help: 'the archive (default: stdin)' }],
  operandCount: [0, 0],
  async run({ client, options, terminal }) {
    const path = options.text('input');
    if (path === undefined && terminal.stdin.isTTY) {
      throw new UsageError('load reads an archive from stdin; give one with -i FILE');
    }
    const archive = path === undefined ? terminal.stdin : createReadStream(path);
    if (path !== undefined) await once(archive, 'open');
    const view = new ProgressView(terminal.stdout);
    for await (const message of client.load(archive)) view.show(message);
    return 0;
  },
};
