// What a benchmark run is told on its command line.
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { REPOSITORY } from '../scripts/steps.mjs';

const DEFAULT_ROUNDS = 7;

export const help = (groups) => `Usage: npm run bench -- [options] [GROUP | GROUP/TEXT]...

Measures hyperd beside dockerd, which is the peer, and beside the floor: the same work in a bare machine, without hyperd.
Every round does each of them once, one after the other. Needs root, for dockerd.

Groups (default: all); GROUP/TEXT has only the cases whose title holds the text:
${groups.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`).join('\n')}

Options:
  --rounds N          rounds that count (default ${DEFAULT_ROUNDS}); long cases take fewer
  --warm-up N         rounds before them (default 1)
  --output DIR        where results.json and report.html go (default build/bench)
  --kernel FILE       guest kernel for hyperd and the floor (default: the one that set-up makes)
  --initrd FILE       initramfs that fits it
  --note TEXT         told with the results, such as what was changed
  -h, --help          print this help

Example: npm run bench -- --rounds 15 start exec/API
`;

/** Reads the arguments. Throws an Error that says what is wrong with which. */
export function optionsOf(args, groups) {
  const text = { type: 'string' };
  const { values, positionals } = parseArgs({
    ...{ args, allowPositionals: true },
    options: {
      ...{ rounds: text, 'warm-up': text, output: text, kernel: text, initrd: text, note: text },
      help: { type: 'boolean', short: 'h' },
    },
  });
  return {
    help: values.help ?? false,
    rounds: count('--rounds', values.rounds ?? String(DEFAULT_ROUNDS), 1),
    warmUp: count('--warm-up', values['warm-up'] ?? '1', 0),
    output: resolve(values.output ?? join(REPOSITORY, 'build/bench')),
    kernel: resolve(values.kernel ?? join(REPOSITORY, 'build/guest/vmlinux')),
    initrd: resolve(values.initrd ?? join(REPOSITORY, 'build/guest/initramfs.cpio')),
    ownGuest: values.kernel !== undefined || values.initrd !== undefined,
    note: values.note ?? '',
    wanted: wanted(positionals, groups),
  };
}

function count(option, value, least) {
  if (/^\d{1,4}$/.test(value) && Number(value) >= least) return Number(value);
  throw new Error(`${option} is "${value}"; want a whole number from ${least} to 9999`);
}

/** The groups to run, each with a test of its cases' titles. */
function wanted(names, groups) {
  for (const name of names) {
    const [group] = name.split('/', 1);
    if (groups.some((known) => known.name === group)) continue;
    throw new Error(
      `there is no group "${group}" of benchmarks; there are ${groups.map((known) => known.name).join(', ')}`,
    );
  }
  if (names.length === 0) return groups.map((group) => ({ group, includes: () => true }));
  return groups.flatMap((group) => {
    const texts = names
      .filter((name) => name.split('/', 1)[0] === group.name)
      .map((name) => name.slice(group.name.length + 1).toLowerCase());
    if (texts.length === 0) return [];
    return [{ group, includes: (title) => texts.some((text) => title.toLowerCase().includes(text)) }];
  });
}
