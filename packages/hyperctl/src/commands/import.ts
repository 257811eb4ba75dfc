import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Command, Terminal } from '../command.ts';
import { ProgressView } from '../progress-view.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'import',
  operands: 'FILE|URL|- [REPOSITORY[:TAG]]',
  summary: 'Make an image out of a tar of its root file system (plain or compressed), and print its id',
  details: 'A URL (http or https) is read by hyperd, not by hyperctl; - is stdin.',
  options: [
    {
      ...{ name: 'change', short: 'c', value: 'INSTRUCTION', repeats: true },
      help: 'a Dockerfile instruction for its configuration, such as \'CMD ["sh"]\'',
    },
    { name: 'message', short: 'm', value: 'TEXT', help: 'comment of the image' },
  ],
  operandCount: [1, 2],
  async run({ client, options, operands: [from = '', reference], terminal }) {
    const source = /^https?:\/\//i.test(from) ? from : await openSource(from, terminal);
    const changes = options.all('change');
    const messages = client.images.import(source, { reference, message: options.text('message'), changes });
    // Only the id goes to stdout, for scripts.
    const view = terminal.stderr.isTTY ? new ProgressView(terminal.stderr) : undefined;
    for await (const message of messages) {
      if (/^sha256:/.test(message.status ?? '')) terminal.stdout.write(`${message.status}\n`);
      else view?.show(message);
    }
    return 0;
  },
};

async function openSource(path: string, { stdin }: Terminal): Promise<Readable> {
  if (path === '-') {
    if (stdin.isTTY) throw new UsageError('import reads a tar from stdin, and that is a terminal');
    return stdin;
  }
  const file = createReadStream(path);
  await once(file, 'open');
  return file;
}
