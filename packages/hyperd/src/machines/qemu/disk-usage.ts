import type { DiskUsage } from '../machine.ts';

/** Reads the answer of `query-blockstats`: figures by SCSI target. What is no disk of ours, or no number, is left out. */
export function diskUsageOf(answer: unknown): ReadonlyMap<number, DiskUsage> {
  const usage = new Map<number, DiskUsage>();
  for (const entry of Array.isArray(answer) ? (answer as Record<string, unknown>[]) : []) {
    const [, target] = /^disk(\d{1,3})$/.exec(String(entry?.['node-name'])) ?? [];
    const stats = entry?.stats as Record<string, unknown> | undefined;
    if (target === undefined || typeof stats !== 'object' || stats === null) continue;
    const number = (name: string): number => {
      const value = stats[name];
      return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
    };
    usage.set(Number(target), {
      ...{ readBytes: number('rd_bytes'), writeBytes: number('wr_bytes') },
      ...{
        reads: number('rd_operations'),
        writes: number('wr_operations'),
        flushes: number('flush_operations'),
      },
      ...{ readNs: number('rd_total_time_ns'), writeNs: number('wr_total_time_ns') },
      ...{ mergedReads: number('rd_merged'), mergedWrites: number('wr_merged') },
    });
  }
  return usage;
}
