import { ask } from '../ask.ts';
import type { Command, CommandContext } from '../command.ts';
import { forEach } from '../for-each.ts';
import { decimalSize } from '../format.ts';
import { keyValueObject } from '../key-values.ts';
import { table } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'volume',
  operands: 'create|ls|inspect|rm|prune [NAME...]',
  summary: 'Make, list, describe or remove volumes that have a name',
  details: `A named volume is a directory that outlives pods, and may be in several at once: "run -v NAME:/dir". It is made with its first
use, or by "create". "rm" refuses one that a pod uses, running or not; "prune" removes all that no pod uses.`,
  options: [
    { name: 'label', value: 'KEY=VALUE', repeats: true, help: 'for create: a label' },
    { name: 'quiet', short: 'q', help: 'for ls: names only' },
    { name: 'force', short: 'f', help: 'for prune: do not ask; without a terminal nobody is asked' },
  ],
  operandCount: [1, Number.POSITIVE_INFINITY],
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { client, options, terminal } = context;
  const [action = '', ...names] = context.operands;
  const takesNames = ['create', 'inspect', 'rm'].includes(action);
  if (takesNames && names.length === 0) throw new UsageError(`volume ${action} needs a NAME`);
  if (!takesNames && names.length > 0) throw new UsageError(`volume ${action} takes no NAME`);
  switch (action) {
    case 'create':
      return forEach(names, terminal, async (name) => {
        await client.volumes.create(name, { labels: keyValueObject(options, 'label') ?? {} });
        return name;
      });
    case 'ls':
      return list(context);
    case 'inspect': {
      const volumes = await Promise.all(names.map((name) => client.volumes.info(name)));
      terminal.stdout.write(`${JSON.stringify(volumes, null, 2)}\n`);
      return 0;
    }
    case 'rm':
      return forEach(names, terminal, async (name) => {
        await client.volumes.remove(name);
        return name;
      });
    case 'prune':
      return prune(context);
    default:
      throw new UsageError(`volume "${action}": want create, ls, inspect, rm or prune`);
  }
}

async function list({ client, options, terminal }: CommandContext): Promise<number> {
  const volumes = await client.volumes.list();
  if (options.flag('quiet')) terminal.stdout.write(volumes.map(({ name }) => `${name}\n`).join(''));
  else {
    const rows = volumes.map(({ name, driver, usedBy, mountpoint }) => [
      ...[name, driver, usedBy.join(','), mountpoint],
    ]);
    terminal.stdout.write(table([['Volume Name', 'Driver', 'Used By', 'Mountpoint'], ...rows]));
  }
  return 0;
}

async function prune({ client, options, terminal }: CommandContext): Promise<number> {
  if (terminal.stdin.isTTY && !options.flag('force')) {
    const question = 'This removes all named volumes that no pod uses, with what is in them. Go on? [y/N] ';
    if (!/^y(es)?$/i.test(await ask(question, terminal))) return 0;
  }
  const { removed, reclaimedBytes } = await client.volumes.prune();
  const lines = removed.map((name) => `${name}\n`).join('');
  terminal.stdout.write(`${lines}Total reclaimed space: ${decimalSize(reclaimedBytes)}\n`);
  return 0;
}
