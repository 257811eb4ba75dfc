import type { Client } from '@hyperd/client';
import type { OptionSpec, Options } from './options.ts';

/** Where a command reads and writes; the process's own streams, or a test's. */
export interface Terminal {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

export interface CommandContext {
  readonly client: Client;
  readonly options: Options;
  readonly operands: readonly string[];
  readonly terminal: Terminal;
}

/** One command of hyperctl: its line, its help, what it does. */
export interface Command {
  readonly name: string;
  /** Operands, for the usage line. */
  readonly operands: string;
  readonly summary: string;
  /** Further text of the help. */
  readonly details?: string;
  readonly options: readonly OptionSpec[];
  /** Options end at the first operand: what follows belongs to the container's command. */
  readonly stopAtOperand?: boolean;
  /** How many operands it takes. */
  readonly operandCount: readonly [least: number, most: number];
  /** Resolves with the exit code. */
  run(context: CommandContext): Promise<number>;
}
