import type { Client, ExecSession } from '@hyperd/client';
import type { Command, CommandContext } from '../command.ts';
import { findContainer, isNotFound } from '../find-container.ts';
import { joinSession } from '../session-io.ts';
import { followWindowSize } from '../window-size.ts';

export const command: Command = {
  name: 'exec',
  operands: 'CONTAINER|POD COMMAND...',
  summary: 'Run a further command in a container, or in the first one of a pod',
  details: "The exit code is the command's own.",
  options: [
    { name: 'tty', short: 't', help: 'give the command a terminal' },
    { name: 'interactive', short: 'i', help: 'accepted; input is always passed on' },
    { name: 'attach', short: 'a', help: 'accepted; it always joins the command' },
    { name: 'detach', short: 'd', help: 'accepted without effect, as in the original' },
    { name: 'vm', short: 'm', help: "run it in the pod's machine, outside of all containers" },
  ],
  stopAtOperand: true,
  operandCount: [2, Number.POSITIVE_INFINITY],
  run: (context) => (context.options.flag('vm') ? execInMachine(context) : execInContainer(context)),
};

async function execInContainer({ client, options, operands, terminal }: CommandContext): Promise<number> {
  const [reference = '', ...words] = operands;
  const tty = options.flag('tty');
  const session = await startExec(client, reference, words, tty);
  const { container, exec } = session;
  const stop = tty
    ? followWindowSize(terminal.stdout, (size) => client.resizeTty(container, size, exec))
    : () => undefined;
  try {
    await joinSession(session, terminal, { tty });
  } finally {
    stop();
  }
  // A daemon that was restarted meanwhile has let go of the session, not of the exec.
  return (await session.ended)?.exitCode ?? client.waitExec(container, exec);
}

/** In the container of that name or id, else in the first one of that pod: most are the former, which saves a question. */
async function startExec(
  client: Client,
  reference: string,
  words: readonly string[],
  tty: boolean,
): Promise<ExecSession> {
  try {
    return await client.exec(reference, words, { tty });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    const { container } = await findContainer(client, reference);
    return client.exec(container.containerID, words, { tty });
  }
}

async function execInMachine({ client, operands, terminal }: CommandContext): Promise<number> {
  const [pod = '', ...words] = operands;
  const session = await client.execInMachine(pod, words);
  await joinSession(session, terminal, { tty: false });
  return client.waitMachineExec(pod, session.exec);
}
