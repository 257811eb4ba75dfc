import type { Client } from '@hyperd/client';
import type { Command } from '../command.ts';
import { findPodOrContainer } from '../find-container.ts';

export const command: Command = {
  name: 'wait',
  operands: 'CONTAINER|POD...',
  summary: 'Wait until containers or pods have ended, and print their exit codes in the order given',
  details: `A pod ends when no container of it runs or waits to be started again; its exit code is that of its first container that failed.
What does not run is not waited for.`,
  options: [],
  operandCount: [1, Number.POSITIVE_INFINITY],
  async run({ client, operands, terminal: { stdout, stderr } }) {
    // All at once: the second may be removed before the first has ended.
    const waits = operands.map((reference) => exitCode(client, reference));
    for (const wait of waits) wait.catch(() => undefined); // told in its turn
    let failed = false;
    for (const wait of waits) {
      try {
        stdout.write(`${await wait}\n`);
      } catch (error) {
        failed = true;
        stderr.write(`hyperctl ERROR: ${(error as Error).message}\n`);
      }
    }
    return failed ? 1 : 0;
  },
};

async function exitCode(client: Client, reference: string): Promise<number> {
  const found = await findPodOrContainer(client, reference);
  if ('podInfo' in found) return (await client.waitPod(found.podInfo.podID)).exitCode;
  return client.wait(found.containerInfo.container.containerID);
}
