import { ApiError, type Client } from '@hyperd/client';
import type { Command } from '../command.ts';

export const command: Command = {
  name: 'inspect',
  operands: 'POD|CONTAINER...',
  summary: 'Print all about pods and containers as a JSON array',
  options: [],
  operandCount: [1, Number.POSITIVE_INFINITY],
  async run({ client, operands, terminal }) {
    const found: object[] = [];
    for (const reference of operands) found.push(await inspect(client, reference));
    terminal.stdout.write(`${JSON.stringify(found, undefined, 2)}\n`);
    return 0;
  },
};

async function inspect(client: Client, reference: string): Promise<object> {
  try {
    return await client.podInfo(reference);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    return client.containerInfo(reference);
  }
}
