import { HyperError, isHyperError, messageOf } from '../errors.ts';
import type { Machine } from '../machines/machine.ts';
import { requireFree } from '../networks/free-port.ts';
import { hostPortText, type PortForward, type PortForwarder } from '../networks/port-forward.ts';

/** Ports that a machine of the user-mode network forwards itself. */
export function machinePorts(machine: Machine): PortForwarder {
  return {
    async forward(ports) {
      for (const port of ports) await forward(machine, port);
    },
    async unforward(ports) {
      for (const port of ports) await machine.unforwardPort(port);
    },
    forwarded: () => machine.forwardedPorts(),
  };
}

async function forward(machine: Machine, port: PortForward): Promise<void> {
  try {
    await machine.forwardPort(port);
  } catch (error) {
    if (!isHyperError(error, 'unavailable')) throw error;
    await requireFree([port]); // knows better why not
    throw new HyperError('unavailable', `publish ${hostPortText(port)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
