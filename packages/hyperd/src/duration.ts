const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Nanoseconds of `1m30s` (Go's time.ParseDuration, not negative); undefined: it is none. */
export function nanosecondsOf(text: string): number | undefined {
  if (text === '0') return 0;
  if (text.length > 100 || !/^(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, count, unit = 's'] of text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g))
    sum += Number(count) * (NANOSECONDS[unit] ?? 0);
  return Math.round(sum);
}
