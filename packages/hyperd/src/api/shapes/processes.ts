import type { Static } from 'typebox';
import type { GuestContainerProcess } from '../../guest/index.ts';
import type { ProcessList } from './usage-schemas.ts';

/** What runs in a container. Times in ns, memory in bytes. */
export function processesShape(
  processes: readonly GuestContainerProcess[],
  at: Date,
): Static<typeof ProcessList> {
  return {
    processes: processes.map(({ pid, parent, uid, user, state, cpuNs, ageNs, memoryBytes, command }) => ({
      ...{ pid, ppid: parent, uid, user: user || String(uid), state },
      ...{
        started_at: new Date(at.getTime() - ageNs / 1e6).toISOString(),
        cpu_time: cpuNs,
        memory: memoryBytes,
      },
      command,
    })),
  };
}
