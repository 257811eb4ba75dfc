import type { Command } from '../command.ts';
import { findContainer } from '../find-container.ts';
import { writeOutput } from '../session-io.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'logs',
  operands: 'CONTAINER|POD',
  summary: 'Print what a container, or the first one of a pod, has written',
  options: [
    { name: 'follow', short: 'f', help: 'go on until the container ends' },
    { name: 'since', value: 'TIME', help: 'only what is newer: unix time, RFC 3339, or a span such as 10m' },
    { name: 'timestamps', short: 't', help: 'put the time before every line' },
    { name: 'tail', value: 'N', help: 'only the last N lines (default: all)' },
  ],
  operandCount: [1, 1],
  async run({ client, options, operands: [reference = ''], terminal }) {
    const { container } = await findContainer(client, reference);
    const tail = options.text('tail') === 'all' ? undefined : options.integer('tail', 0);
    const since = options.text('since');
    const output = client.logs(container.containerID, {
      tty: container.tty ?? false,
      follow: options.flag('follow'),
      timestamps: options.flag('timestamps'),
      ...(since === undefined ? {} : { since: unixTime(since, Date.now()) }),
      ...(tail === undefined ? {} : { tail }),
    });
    await writeOutput(output, terminal);
    return 0;
  },
};

const SPAN_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds since the epoch of `text`: unix time, RFC 3339, or a span before `nowMs`. Throws UsageError. */
export function unixTime(text: string, nowMs: number): string {
  if (/^\d+(?:\.\d{1,9})?$/.test(text)) return text;
  const [, count, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (count) return String(Math.max(0, Math.floor(nowMs / 1000) - Number(count) * (SPAN_SECONDS[unit] ?? 0)));
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) {
    throw new UsageError(`--since is "${text}", want unix time, RFC 3339 or a span such as 10m`);
  }
  return String(time / 1000);
}
