import { complete } from './complete.ts';
import { namesOfDaemon } from './names.ts';

/** A daemon that does not answer is not waited for longer than whoever types would like. */
const TIMEOUT_MS = 3_000;

/** For the shells' scripts: a candidate a line with its help behind a tab; `:files` where files are possible as well. */
export async function printCompletion(words: readonly string[], stdout: NodeJS.WriteStream): Promise<number> {
  const late = setTimeout(() => process.exit(0), TIMEOUT_MS);
  const { candidates, files } = await complete(words, namesOfDaemon);
  clearTimeout(late);
  const lines = candidates.map(({ text, help }) => `${text}\t${help.replaceAll(/\s+/g, ' ')}\n`);
  stdout.write(`${lines.join('')}${files ? ':files\n' : ''}`);
  return 0;
}
