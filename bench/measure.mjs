// One case under measurement: a warm-up, then rounds of one after the other.
import { judge, summaryOf } from './statistics.mjs';

/**
 * A case, as the groups yield it:
 * - `title`, and `unit` of its figure (default ms);
 * - `ours`, and where there are such, `peer` and `floor`: do the work once; `before.ours` and so on: what has to be done first, untimed;
 * - `figure(result)`: the number in what they resolve with (default: that itself);
 * - `readings`: instead of all these, figures that are there already, by whose they are;
 * - `aims`: what it is to reach, see `judge`; `rounds`, `warmUp`: at most so many; `skip`: why it cannot be measured.
 */
export async function measure(benchmark, options, signal, tell) {
  const { title, unit = 'ms', aims = [], skip, readings } = benchmark;
  const result = { title, unit, skipped: skip, samples: {}, aims: [] };
  if (skip) return result;
  result.samples = readings ?? (await rounds(benchmark, options, signal, tell));
  for (const [who, values] of Object.entries(result.samples)) result[who] = summaryOf(values);
  result.aims = aims.map((aim) => judge(aim, result));
  return result;
}

/** The figures of all rounds. */
async function rounds(benchmark, options, signal, tell) {
  const { title, figure = (value) => value, before = {} } = benchmark;
  const whose = ['peer', 'floor', 'ours'].filter((who) => benchmark[who]);
  const samples = Object.fromEntries(whose.map((who) => [who, []]));
  const count = Math.min(options.rounds, benchmark.rounds ?? options.rounds);
  const warmUp = Math.min(options.warmUp, benchmark.warmUp ?? options.warmUp);
  for (let round = -warmUp; round < count; round++) {
    tell(round < 0 ? 'warm-up' : `round ${round + 1} of ${count}`);
    for (const who of whose) {
      signal.throwIfAborted();
      await before[who]?.();
      const value = figure(await benchmark[who](), who);
      if (!Number.isFinite(value)) throw new Error(`"${title}", ${who}: ${value} is no figure`);
      if (round >= 0) samples[who].push(value);
    }
  }
  return samples;
}
