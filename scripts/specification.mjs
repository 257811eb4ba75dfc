// Holds SPECIFICATION.md to what there is: every row names a file and a case or test in it, and the aims of benchmarks are those of their cases.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMain, REPOSITORY } from './steps.mjs';

const FILE = 'SPECIFICATION.md';

/** What is wrong with the specification's text, a sentence each. `read(path)`: a file's text, undefined where it is not there. */
export function faultsOf(text, read) {
  const rows = text.split('\n').filter((line) => line.startsWith('| ') && !/^\| (---|promise) /.test(line));
  if (rows.length === 0) return ['it has no promises'];
  return rows.flatMap((row) => {
    const [, promise, number, path, title] = /^\| (.+) \| (.+) \| `([^`]+)` (.+) \|$/.exec(row) ?? [];
    if (title === undefined)
      return [`"${row}": want | promise | number | \`FILE\` title of a case or test |`];
    const source = read(path);
    if (source === undefined) return [`"${promise}": there is no ${path}`];
    if (!source.includes(title)) return [`"${promise}": ${path} has no case or test "${title}"`];
    const [, aim] = /^≤ ([\d.]+)/.exec(number) ?? [];
    if (
      !path.startsWith('bench/') ||
      source.includes(`atMost: ${aim} `) ||
      source.includes(`atMost: ${aim},`)
    )
      return [];
    return [`"${promise}": no case of ${path} has the aim "${number}"`];
  });
}

function readHere(path) {
  const full = join(REPOSITORY, path);
  return existsSync(full) ? readFileSync(full, 'utf8') : undefined;
}

if (isMain(import.meta.url)) {
  const faults = faultsOf(readHere(FILE) ?? '', readHere);
  for (const fault of faults) console.error(`${FILE}: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}
