import type { Command } from '../command.ts';
import { SCRIPTS } from '../completion/scripts.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'completion',
  operands: 'bash|zsh|fish',
  summary: 'Print a script that completes hyperctl in a shell',
  details: `In ~/.bashrc: source <(hyperctl completion bash)
In ~/.zshrc, behind compinit: source <(hyperctl completion zsh)
In ~/.config/fish/config.fish: hyperctl completion fish | source
Names of pods, containers, machines and images come from the daemon of $HYPER_HOST or of --host on the line.`,
  options: [],
  operandCount: [1, 1],
  async run({ operands: [shell = ''], terminal }) {
    const script = SCRIPTS[shell];
    if (script === undefined)
      throw new UsageError(`completion "${shell}": want ${Object.keys(SCRIPTS).join(', ')}`);
    terminal.stdout.write(script);
    return 0;
  },
};
