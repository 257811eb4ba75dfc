import { createClient } from '@hyperd/client';
import type { Command, Terminal } from './command.ts';
import { COMMANDS } from './commands.ts';
import { commandHelp, GLOBAL_OPTIONS, HELP_OPTION, programHelp, usage } from './help.ts';
import { hostUrl } from './host.ts';
import { suggestion } from './nearest.ts';
import { type Options, parseOptions } from './options.ts';
import { InterruptedError } from './signals.ts';
import { UsageError } from './usage-error.ts';
import { BrokenPipeError, watchForBrokenPipe } from './write.ts';

const FAILURE = 1;
/** 128 and SIGPIPE, as a shell reports it. */
const BROKEN_PIPE_EXIT_CODE = 141;

/** Runs hyperctl with `args`; resolves with the exit code. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  watchForBrokenPipe(terminal.stdout);
  watchForBrokenPipe(terminal.stderr);
  try {
    return await dispatch(args, terminal);
  } catch (error) {
    if (error instanceof BrokenPipeError) return BROKEN_PIPE_EXIT_CODE;
    if (error instanceof InterruptedError) return error.exitCode;
    const message = error instanceof Error ? error.message : String(error);
    terminal.stderr.write(`hyperctl ERROR: ${message}\n`);
    return FAILURE;
  }
}

async function dispatch(args: readonly string[], terminal: Terminal): Promise<number> {
  const { options, operands } = parseOptions(args, GLOBAL_OPTIONS, { stopAtOperand: true });
  const [name, ...rest] = operands;
  if (options.flag('version')) return runCommand(await load('version'), [], options, terminal);
  if (name === undefined || options.flag('help')) return printHelp([], terminal);
  if (name === 'help') return printHelp(rest, terminal);
  if (name === '__complete') {
    return (await import('./completion/print.ts')).printCompletion(rest, terminal.stdout);
  }
  return runCommand(await load(name), rest, options, terminal);
}

async function runCommand(
  command: Command,
  args: readonly string[],
  globals: Options,
  terminal: Terminal,
): Promise<number> {
  const { options, operands } = parseLine(command, args);
  if (options.flag('help')) {
    terminal.stdout.write(commandHelp(command));
    return 0;
  }
  const [least, most] = command.operandCount;
  if (operands.length < least || operands.length > most) {
    throw new UsageError(
      `"${command.name}" takes ${countText(least, most)}, not ${operands.length}; ${hint(command)}`,
    );
  }
  using client = createClient(hostUrl(globals.text('host')), { tlsDirectory: globals.text('tls-dir') });
  return await command.run({ client, options, operands, terminal });
}

function parseLine(command: Command, args: readonly string[]): ReturnType<typeof parseOptions> {
  try {
    return parseOptions(args, [...command.options, HELP_OPTION], {
      stopAtOperand: command.stopAtOperand ?? false,
    });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message}; ${hint(command)}`);
  }
}

function hint(command: Command): string {
  return `usage: ${usage(command)}`;
}

function countText(least: number, most: number): string {
  if (least === most) return `${least} argument${least === 1 ? '' : 's'}`;
  return most === Number.POSITIVE_INFINITY
    ? `at least ${least} argument${least === 1 ? '' : 's'}`
    : `${least} to ${most} arguments`;
}

async function printHelp(names: readonly string[], terminal: Terminal): Promise<number> {
  const [name] = names;
  terminal.stdout.write(name === undefined ? programHelp(COMMANDS) : commandHelp(await load(name)));
  return 0;
}

async function load(name: string): Promise<Command> {
  const entry = COMMANDS.find((candidate) => candidate.name === name);
  if (!entry) {
    const meant = suggestion(
      name,
      COMMANDS.map((command) => command.name),
    );
    throw new UsageError(`unknown command "${name}"${meant}; "hyperctl help" lists the commands`);
  }
  return (await entry.load()).command;
}

if (import.meta.main) {
  // The bundle is CommonJS, which has no await here.
  void main(process.argv.slice(2), process).then((code) => {
    process.exitCode = code;
  });
}
