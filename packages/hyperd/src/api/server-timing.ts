import type { StartTrace } from '../pods/start-trace.ts';

/** The phases of a pod's start as the header `Server-Timing` has them (W3C Server Timing): `machine;desc="pool";dur=6.2, total;dur=58.1`. */
export function serverTiming({ phases, source, ready, totalMs }: StartTrace): string {
  const kind = ready ? `${source}, ready` : source;
  const parts = phases.map(({ name, ms }) =>
    name === 'machine' && kind ? `${name};desc="${kind}";dur=${ms}` : `${name};dur=${ms}`,
  );
  return [...parts, ...(totalMs === undefined ? [] : [`total;dur=${totalMs}`])].join(', ');
}
