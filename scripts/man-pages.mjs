// Manual pages in the man macros of roff, made from the definitions that hyperctl and hyperd run on.
import { optionText, usage } from '../packages/hyperctl/src/help.ts';

/** Words are not divided: they are to be found, and copied. */
const PLAIN_LINES = ['.nh', '.ad l'];

/** hyperctl(1): every command with its options. */
export function hyperctlPage(commands, globalOptions) {
  return [
    '.TH HYPERCTL 1 "" hyperd "hyperd manual"',
    ...PLAIN_LINES,
    '.SH NAME',
    'hyperctl \\- run OCI images as pods in virtual machines',
    '.SH SYNOPSIS',
    '.B hyperctl',
    roff('[OPTIONS] COMMAND [ARGUMENTS]'),
    '.SH DESCRIPTION',
    roff(
      'hyperctl is the command line of hyperd(8). A pod is one virtual machine with its own kernel and one or more containers in it.',
    ),
    '.SH OPTIONS',
    ...globalOptions.flatMap(option),
    '.SH COMMANDS',
    ...commands.flatMap(command),
    '.SH ENVIRONMENT',
    ...term('HYPER_HOST', 'Where hyperd listens, as for --host.'),
    ...term('DOCKER_CONFIG', "Directory of Docker's config.json, which holds the credentials of registries."),
    '.SH EXIT STATUS',
    roff(
      'run, attach and exec exit with the code of the process; 128 and the number of the signal where they were interrupted. Everything else exits with 0, or with 1 where it has failed.',
    ),
    '.SH SEE ALSO',
    '.BR hyperd (8)',
    '',
  ].join('\n');
}

function command({ name, summary, details, options, ...rest }) {
  return [
    `.SS ${roff(name)}`,
    '.PP',
    `.B ${roff(usage({ name, ...rest }))}`,
    '.PP',
    roff(`${summary}.`),
    ...(details ? ['.PP', ...details.split('\n').map(roff)] : []),
    ...options.flatMap(option),
  ];
}

function option(spec) {
  return term(optionText(spec).trim(), `${spec.help}${spec.repeats ? ' (repeatable)' : ''}`);
}

/** hyperd(8): the flags of its help, the keys of its configuration file. */
export function hyperdPage(help, settings) {
  return [
    '.TH HYPERD 8 "" hyperd "hyperd manual"',
    ...PLAIN_LINES,
    '.SH NAME',
    'hyperd \\- daemon that runs OCI images as pods in virtual machines',
    '.SH SYNOPSIS',
    '.B hyperd',
    roff('[options]'),
    '.SH DESCRIPTION',
    roff(
      'hyperd serves a REST API on a unix socket. Pods outlive it: on SIGTERM and SIGINT it lets go of them, and the next hyperd takes them up again. It needs no root.',
    ),
    '.SH OPTIONS',
    ...flagsOf(help).flatMap(([flag, text]) => term(flag, text)),
    '.SH CONFIGURATION FILE',
    roff(
      '/etc/hyper/config, or the file of --config: KEY=VALUE lines, keys in any case, in sections such as [log]. Flags win. The keys, and what their values may be:',
    ),
    ...settings.flatMap(([key, allowed]) => term(key, allowed)),
    '.SH SEE ALSO',
    '.BR hyperctl (1)',
    '',
  ].join('\n');
}

/** The flags of a help text and what they mean; lines without a flag go on with the one before. */
function flagsOf(help) {
  const flags = [];
  for (const line of help.split('\n')) {
    const [, flag, text] = /^ {2}(-\S.*?) {2,}(\S.*)$/.exec(line) ?? [];
    if (flag) flags.push([flag, text]);
    else if (/^ {10,}\S/.test(line) && flags.length > 0) flags.at(-1)[1] += ` ${line.trim()}`;
  }
  return flags;
}

function term(name, text) {
  return ['.TP', `.B ${roff(name)}`, roff(text)];
}

/** Text in which nothing is for roff. */
function roff(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replaceAll("'", '\\(aq')
    .replaceAll(/^\./gm, '\\&.');
}
