import type { Command } from './command.ts';
import type { OptionSpec } from './options.ts';

export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'host',
    short: 'H',
    value: 'URL',
    help: 'where hyperd listens: unix:///PATH, tcp://ADDRESS:PORT or tls://ADDRESS:PORT (default: $HYPER_HOST, else the usual socket)',
  },
  {
    name: 'tls-dir',
    value: 'DIR',
    help: 'for tls://: cert.pem and key.pem of this client, ca.pem of the daemon (default: $HYPER_TLS_DIR, else ~/.config/hyper/tls)',
  },
  { name: 'help', short: 'h', help: 'show this help' },
  { name: 'version', help: 'show the version' },
];

export const HELP_OPTION: OptionSpec = { name: 'help', short: 'h', help: 'show this help' };

/** The help of hyperctl itself. */
export function programHelp(
  commands: readonly { readonly name: string; readonly summary: string }[],
): string {
  return [
    'Usage: hyperctl [OPTIONS] COMMAND [ARGUMENTS]',
    '',
    'Runs OCI images as pods in virtual machines, through hyperd.',
    '',
    'Commands:',
    ...columns(commands.map(({ name, summary }) => [name, summary])),
    '',
    'Options:',
    ...columns(GLOBAL_OPTIONS.map((option) => [optionText(option), option.help])),
    '',
    '"hyperctl COMMAND --help" explains a command.',
    '',
  ].join('\n');
}

/** The help of one command: usage, text, every option. */
export function commandHelp(command: Command): string {
  const options = [...command.options, HELP_OPTION];
  return [
    `Usage: ${usage(command)}`,
    '',
    command.summary,
    ...(command.details ? ['', command.details] : []),
    '',
    'Options:',
    ...columns(options.map((option) => [optionText(option), optionHelp(option)])),
    '',
  ].join('\n');
}

/** The line that a command is called by. */
export function usage({ name, operands }: Command): string {
  return `hyperctl ${name} [OPTIONS]${operands === '' ? '' : ` ${operands}`}`;
}

/** `-e, --env KEY=VALUE` */
export function optionText({ name, short, value }: OptionSpec): string {
  const letter = short ? `-${short}, ` : '    ';
  return `${letter}--${name}${value === undefined ? '' : ` ${value}`}`;
}

function optionHelp({ help, repeats }: OptionSpec): string {
  return repeats ? `${help} (repeatable)` : help;
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
