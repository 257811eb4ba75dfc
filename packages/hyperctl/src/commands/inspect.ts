import { ApiError, type Client } from '@hyperd/client';
import type { Command } from '../command.ts';
import { parsePath, selectPath } from '../select-path.ts';

export const command: Command = {
  name: 'inspect',
  operands: 'POD|CONTAINER|IMAGE...',
  summary: 'Print all about pods, containers and images as a JSON array, or one member of each',
  details: `A name is looked for among pods, then containers, then images. What --format selects is printed a line each, text without quotes.`,
  options: [
    {
      ...{ name: 'format', short: 'f', value: 'PATH' },
      help: 'print only this member, such as .status.phase or .spec.containers[0].name',
    },
  ],
  operandCount: [1, Number.POSITIVE_INFINITY],
  async run({ client, options, operands, terminal: { stdout } }) {
    const format = options.text('format');
    const path = format === undefined ? undefined : parsePath(format);
    const found: unknown[] = [];
    for (const reference of operands) found.push(await inspect(client, reference));
    if (path) for (const value of found) stdout.write(`${selectPath(value, path)}\n`);
    else stdout.write(`${JSON.stringify(found, undefined, 2)}\n`);
    return 0;
  },
};

async function inspect(client: Client, reference: string): Promise<unknown> {
  for (const look of [
    () => client.podInfo(reference),
    () => client.containerInfo(reference),
    () => client.images.info(reference),
  ]) {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof ApiError) || (error.status !== 404 && error.status !== 400)) throw error;
    }
  }
  throw new Error(`no pod, container or image is called "${reference}"`);
}
