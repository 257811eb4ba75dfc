import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, type Client, type PodStats } from '@hyperd/client';
import type { Command, CommandContext } from '../command.ts';
import { LIST_FORMAT, listFormat } from '../format.ts';
import { table } from '../table.ts';
import { type UsageRow, usageCells, usageRows } from '../usage-rows.ts';
import { write } from '../write.ts';

const INTERVAL_MS = 1_000;
const CLEAR_SCREEN = '\x1b[H\x1b[J';

export const command: Command = {
  name: 'stats',
  operands: '[POD...]',
  summary: 'Show what running pods (all, or those named) use, every second',
  details: `CPU is in percent of one processor. Memory is without what the guest's kernel can take back at once; its limit is the machine's.
Block figures are counted outside of the machine, those of containers inside.`,
  options: [
    { name: 'no-stream', help: 'show it once, measured over a second' },
    { name: 'containers', short: 'c', help: 'a row for every container' },
    LIST_FORMAT,
  ],
  operandCount: [0, Number.POSITIVE_INFINITY],
  async run(context) {
    const { options, terminal } = context;
    const once = options.flag('no-stream');
    const asJson = listFormat(options) === 'json';
    const names = options.flag('containers') ? new Map<string, string>() : undefined;
    let before: ReadonlyMap<string, PodStats> = new Map();
    for (let round = 0; ; round++) {
      const now = await samples(context, round === 0);
      if (round > 0 || !once) {
        const rows = [...now].flatMap(([pod, stats]) =>
          usageRows(pod, stats, before.get(pod), names !== undefined),
        );
        if (names && !asJson) await learnNames(context.client, rows, names);
        const isScreen = terminal.stdout.isTTY && !once && !asJson;
        await write(
          terminal.stdout,
          `${isScreen ? CLEAR_SCREEN : ''}${asJson ? jsonOf(rows) : tableOf(rows, names)}`,
        );
        if (once) return 0;
      }
      before = now;
      await sleep(INTERVAL_MS);
    }
  },
};

/** Figures of the pods, in order. One that has ended is left out; in the first round it is an error to name one that does not run. */
async function samples(
  { client, operands }: CommandContext,
  isFirst: boolean,
): Promise<ReadonlyMap<string, PodStats>> {
  const pods =
    operands.length > 0
      ? operands
      : (await client.pods()).filter(({ status }) => status === 'running').map(({ id }) => id);
  const found = await Promise.all(
    pods.map(async (pod) => {
      try {
        return [[pod, await client.stats(pod)]] as const;
      } catch (error) {
        if (!(error instanceof ApiError) || (isFirst && operands.length > 0)) throw error;
        return [];
      }
    }),
  );
  return new Map(found.flat());
}

async function learnNames(
  client: Client,
  rows: readonly UsageRow[],
  names: Map<string, string>,
): Promise<void> {
  if (rows.every(({ container = '' }) => names.has(container))) return;
  for (const { id, name } of await client.containers()) names.set(id, name);
}

function jsonOf(rows: readonly UsageRow[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

function tableOf(rows: readonly UsageRow[], names: ReadonlyMap<string, string> | undefined): string {
  return table([
    ['POD', ...(names ? ['CONTAINER'] : []), 'CPU %', 'MEM USAGE / LIMIT', 'NET I/O', 'BLOCK I/O', 'PIDS'],
    ...rows.map((row) => usageCells(row, names?.get(row.container ?? ''))),
  ]);
}
