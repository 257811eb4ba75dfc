import type { Command } from '../command.ts';
import { VERSION } from '../version.ts';

export const command: Command = {
  name: 'version',
  operands: '',
  summary: 'Print the version of hyperctl; "hyperctl info" has the one of hyperd',
  options: [],
  operandCount: [0, 0],
  async run({ terminal }) {
    terminal.stdout.write(`The hyperctl version is ${VERSION}\n`);
    return 0;
  },
};
