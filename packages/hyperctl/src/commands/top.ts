import type { Client, ContainerProcess } from '@hyperd/client';
import type { Command } from '../command.ts';
import { findPodOrContainer } from '../find-container.ts';
import { LIST_FORMAT, listFormat, localTime } from '../format.ts';
import { table } from '../table.ts';

export const command: Command = {
  name: 'top',
  operands: 'CONTAINER|POD',
  summary: 'List what runs in a container, or in all containers of a pod',
  details: `Process ids are as the container sees them. Nothing of the image is needed for it.`,
  options: [LIST_FORMAT],
  operandCount: [1, 1],
  async run({ client, options, operands: [reference = ''], terminal: { stdout } }) {
    const found = await containersOf(client, reference);
    const rows = await Promise.all(
      found.map(async ({ id, name }) =>
        (await client.processes(id)).map((process) => ({ container: name, ...process })),
      ),
    );
    if (listFormat(options) === 'json') {
      stdout.write(
        rows
          .flat()
          .map((row) => `${JSON.stringify(row)}\n`)
          .join(''),
      );
      return 0;
    }
    stdout.write(
      table([['CONTAINER', 'PID', 'PPID', 'USER', 'STARTED', 'TIME', 'COMMAND'], ...rows.flat().map(rowOf)]),
    );
    return 0;
  },
};

/** Of a pod those that run. */
async function containersOf(
  client: Client,
  reference: string,
): Promise<readonly { readonly id: string; readonly name: string }[]> {
  const found = await findPodOrContainer(client, reference);
  const statuses =
    'podInfo' in found
      ? (found.podInfo.status.containerStatus ?? []).filter(({ phase }) => phase === 'running')
      : [found.containerInfo.status];
  if (statuses.length > 0) return statuses.map(({ containerID, name }) => ({ id: containerID, name }));
  throw new Error(`list processes: no container of pod "${reference}" is running`);
}

function rowOf(process: ContainerProcess & { readonly container: string }): string[] {
  const { container, pid, ppid, user, started_at: startedAt, cpu_time: cpuNs, command: line } = process;
  return [container, String(pid), String(ppid), user, localTime(new Date(startedAt)), cpuTime(cpuNs), line];
}

/** `hh:mm:ss`, as ps has it. */
export function cpuTime(ns: number): string {
  const seconds = Math.floor(ns / 1e9);
  return [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
}
