import { randomBytes } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  GuestContainerProcess,
  GuestDisk,
  GuestIdentity,
  GuestNetwork,
  GuestService,
  GuestStats,
} from './agent.ts';
import type { ContainerProcess, ToAgentSchema } from './gen/agent_pb.js';
import { nowNs } from './messages.ts';
import { readPages } from './pages.ts';
import type { Answer } from './pending-calls.ts';
import { DEVICE_TIMEOUT_MS, diskMessage } from './start-messages.ts';
import { guestProcess, guestStats } from './stats.ts';

/** A time that took longer to arrive is too old for a clock to be set by, in ms: on a busy host a guest may not run for seconds. */
const MAX_CLOCK_LAG_MS = 500;
const MAX_CLOCK_TRIES = 3;
/** Of one container that are listed; agent and host hold no more of a machine. */
export const MAX_PROCESSES = 8192;

export type Call = MessageInitShape<typeof ToAgentSchema>['call'];

/** The calls of an agent that are one message and its answer. */
export abstract class AgentCalls {
  /** Resolves with the guest's answer. */
  protected abstract call(call: Call, timeoutMs?: number): Promise<Answer>;
  /** Ends the connection: the guest does not keep to the protocol. */
  protected abstract broken(what: string): Error;

  async configure({ hostname, machineId, network }: GuestIdentity): Promise<void> {
    const value = { entropy: randomBytes(64), realtimeNs: nowNs(), hostname, machineId, network };
    if (!(await isQuick(() => this.call({ case: 'configure', value })))) await this.setClock();
  }

  async setClock(): Promise<void> {
    const set = () => this.call({ case: 'setClock', value: { realtimeNs: nowNs() } });
    for (let tries = 1; !(await isQuick(set)) && tries < MAX_CLOCK_TRIES; tries++);
  }

  async setHostname(hostname: string): Promise<void> {
    await this.call({ case: 'setHostname', value: { hostname } });
  }

  async attachDisk(disk: GuestDisk): Promise<void> {
    await this.call({ case: 'attachDisk', value: diskMessage(disk) });
  }

  async detachDisk(name: string): Promise<void> {
    await this.call({ case: 'detachDisk', value: { name } });
  }

  async loadModules(disk: string): Promise<void> {
    await this.call({ case: 'loadModules', value: { disk } });
  }

  async setServices(services: readonly GuestService[]): Promise<void> {
    const value = { services: services.map((service) => ({ ...service, backends: [...service.backends] })) };
    await this.call({ case: 'setServices', value });
  }

  async mountShare(name: string, files: number): Promise<void> {
    await this.call({ case: 'mountShare', value: { name, files, timeoutMs: DEVICE_TIMEOUT_MS } });
  }

  async addCard(network: GuestNetwork): Promise<void> {
    await this.call({ case: 'addCard', value: { network, timeoutMs: DEVICE_TIMEOUT_MS } });
  }

  async removeCard(mac: string): Promise<void> {
    await this.call({ case: 'removeCard', value: { mac } });
  }

  async removeContainer(
    containerId: string,
    { deleteUpper }: { readonly deleteUpper: boolean },
  ): Promise<void> {
    await this.call({ case: 'removeContainer', value: { containerId, deleteUpper } });
  }

  async stats(): Promise<GuestStats> {
    const answer = await this.call({ case: 'getStats', value: {} });
    if (answer.case !== 'stats') throw this.broken('get stats: wrong kind of answer');
    return guestStats(answer.value);
  }

  async containerProcesses(containerId: string): Promise<GuestContainerProcess[]> {
    const processes = await readPages<ContainerProcess>({
      ask: async (after) => {
        const call = { case: 'listContainerProcesses', value: { containerId, after } } as const;
        const { case: kind, value } = await this.call(call);
        if (kind !== 'containerProcesses')
          throw this.broken('list container processes: wrong kind of answer');
        return { items: value.processes, more: value.more };
      },
      idOf: ({ agentPid }) => agentPid,
      ...{ maxId: Number.POSITIVE_INFINITY, maxCount: MAX_PROCESSES },
      outOfOrder: () => this.broken('list container processes: ids are not in order'),
    });
    return processes.map(guestProcess);
  }

  async shutdown(): Promise<void> {
    await this.call({ case: 'shutdown', value: {} });
  }

  async signal(processId: number, signal: number): Promise<void> {
    await this.call({ case: 'signalProcess', value: { processId, signal } });
  }

  async resize(processId: number, rows: number, columns: number): Promise<void> {
    await this.call({ case: 'resizeTty', value: { processId, rows, columns } });
  }
}

/** Whether the guest has done a call while a time in it was still true. */
async function isQuick(call: () => Promise<unknown>): Promise<boolean> {
  const began = performance.now();
  await call();
  return performance.now() - began <= MAX_CLOCK_LAG_MS;
}
