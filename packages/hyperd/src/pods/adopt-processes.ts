import { isHyperError } from '../errors.ts';
import type { GuestAgent, GuestProcessState } from '../guest/index.ts';
import type { ContainerId } from '../ids.ts';
import type { Logger } from '../logger.ts';
import type { Container } from './container.ts';
import { LOST_EXIT_CODE } from './lifecycle.ts';
import { Session } from './session.ts';

/** For a pod whose machine an earlier daemon left running, with these processes in it: containers and execs find theirs, or learn that they are gone. */
export async function adoptProcesses(
  states: readonly GuestProcessState[],
  agent: GuestAgent,
  containers: readonly Container[],
  logger: Logger,
): Promise<void> {
  for (const state of states.filter(({ init }) => !init)) {
    const container = containers.find(({ record }) => record.id === state.containerId);
    await adoptExec(state, agent, container, logger);
  }
  for (const container of containers) {
    container.execs.loseOrphans();
    const { id, processId } = container.record;
    const ofInit = states.filter((state) => state.init && state.containerId === id);
    const state = ofInit.find((found) => found.id === processId);
    if (state) await container.adopt(state, agent);
    else {
      if (container.isRunning) container.lose(LOST_EXIT_CODE, 'its process was not found in the machine');
      await clearAway(id, ofInit, agent);
    }
  }
}

/** The client of an earlier daemon's exec is gone: its process goes on, its output goes nowhere. */
async function adoptExec(
  state: GuestProcessState,
  agent: GuestAgent,
  container: Container | undefined,
  logger: Logger,
): Promise<void> {
  const session = new Session({ tty: state.tty });
  const process = await agent.adoptProcess(state, { stdout: 0, stderr: 0 }, session);
  session.bind(process);
  container?.execs.orphanOf(state.id)?.adopt(process);
  process.exited
    .then(() => process.release())
    .catch((error: unknown) => {
      logger.debug({ container: state.containerId, err: error }, 'end adopted exec');
    });
}

/** What the guest still has of a container whose end was recorded by a daemon that died before it could tell the guest. */
async function clearAway(
  id: ContainerId,
  inits: readonly GuestProcessState[],
  agent: GuestAgent,
): Promise<void> {
  try {
    for (const state of inits) {
      const session = new Session({ tty: state.tty });
      await (await agent.adoptProcess(state, { stdout: 0, stderr: 0 }, session)).release();
    }
    await agent.removeContainer(id, { deleteUpper: false });
  } catch (error) {
    if (!isHyperError(error, 'not-found')) throw error; // there is nothing, as a rule
  }
}
