import type { Command } from '../command.ts';
import { findContainer } from '../find-container.ts';
import { joinSession } from '../session-io.ts';
import { InterruptedError, SignalForwarder } from '../signals.ts';
import { followWindowSize } from '../window-size.ts';

export const command: Command = {
  name: 'attach',
  operands: 'CONTAINER|POD',
  summary: 'Join a container, or the first one of a pod, until it ends',
  details: `The exit code is the container's own. Signals go to the container; a second one within a second gives up. On a terminal
Ctrl-P Ctrl-Q leave the container running.`,
  options: [],
  operandCount: [1, 1],
  async run({ client, operands: [reference = ''], terminal }) {
    using signals = new SignalForwarder();
    try {
      const { container } = await signals.orInterrupted(findContainer(client, reference));
      const { containerID: id, tty = false } = container;
      const session = await client.attach(id, { tty, signal: signals.signal });
      signals.to((signal) => client.killContainer(id, signal));
      const stop = tty
        ? followWindowSize(terminal.stdout, (size) => client.resizeTty(id, size))
        : () => undefined;
      try {
        const end = await signals.orInterrupted(joinSession(session, terminal, { tty }));
        return end === 'detached' ? 0 : await signals.orInterrupted(client.wait(id, signals.signal));
      } finally {
        stop();
        session.close();
      }
    } catch (error) {
      if (error instanceof InterruptedError) return error.exitCode;
      throw error;
    }
  },
};
