import type { Static } from 'typebox';
import type { PodStats as PodStatsShape } from '../api/shapes/usage-schemas.ts';
import { type PodStats, PodStatsSchema } from './gen/types_pb.js';
import { messageOf } from './messages.ts';

/** Where the message's names are not those of the JSON in another spelling. */
const NAMES: Readonly<Record<string, string>> = {
  load_average: 'LoadAverage',
  per_cpu_usage: 'perCpu',
  io_queue_recursive: 'ioQueuedRecursive',
  capacity: 'limit',
  container_id: 'containerID',
  container_stats: 'containersStats',
};

/** The statistics of /pod/stats as a message: other names, whole numbers, the time as unix time. */
export function podStatsMessage(stats: Static<typeof PodStatsShape>): PodStats {
  const timestamp = Math.floor(Date.parse(stats.timestamp) / 1000);
  return messageOf(PodStatsSchema, { ...(renamed(stats) as object), timestamp });
}

function renamed(value: unknown): unknown {
  if (typeof value === 'number') return Math.round(value);
  if (Array.isArray(value)) return value.map(renamed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null)
      .map(([name, member]) => [NAMES[name] ?? camelCase(name), renamed(member)]),
  );
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_match, letter: string) => letter.toUpperCase());
}
