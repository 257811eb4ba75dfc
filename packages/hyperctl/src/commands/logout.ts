import type { Command } from '../command.ts';
import { forgetCredentials } from '../credentials/credentials.ts';
import { serverOf } from '../credentials/servers.ts';

export const command: Command = {
  name: 'logout',
  operands: '[SERVER]',
  summary: "Forget the credentials for a registry (default: Docker's)",
  options: [],
  operandCount: [0, 1],
  async run({ operands, terminal }) {
    const server = serverOf(operands[0] ?? '');
    const wasKept = await forgetCredentials(server);
    terminal.stdout.write(
      wasKept ? `Removed login credentials for ${server}\n` : `Not logged in to ${server}\n`,
    );
    return 0;
  },
};
