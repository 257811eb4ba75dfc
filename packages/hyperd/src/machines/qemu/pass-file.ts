import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HyperError, messageOf } from '../../errors.ts';
import { guestText } from '../../guest/index.ts';
import type { VmFiles } from './vm-files.ts';

const run = promisify(execFile);
const TIMEOUT_MS = 30_000;

interface Passed {
  /** A file to read or to write as well, or a network device of the host. */
  readonly how: 'ro' | 'rw' | 'tap';
  readonly name: string;
  /** Commands of QMP; the first takes the file. */
  readonly commands: readonly object[];
  /** What is done after a command that failed. */
  readonly undo?: object;
}

/** Has QEMU get a file that it cannot open itself: host/pass-file.c. Rejects `machine` with what QEMU, or the host, has said. */
export async function passFile(
  { directory, passProgram }: VmFiles,
  { how, name, commands, undo }: Passed,
): Promise<void> {
  const said = [undo ? JSON.stringify(undo) : '', ...commands.map((command) => JSON.stringify(command))];
  let answer: { readonly error?: { readonly desc?: unknown } };
  try {
    const args = [join(directory, 'files.sock'), how, name, ...said];
    const { stdout } = await run(passProgram, args, { timeout: TIMEOUT_MS });
    answer = JSON.parse(stdout) as typeof answer;
  } catch (error) {
    const { stderr = '' } = error as { readonly stderr?: string };
    throw new HyperError('machine', guestText(stderr.trim()) || messageOf(error), { cause: error });
  }
  if (answer.error) throw new HyperError('machine', `pass ${name}: ${guestText(String(answer.error.desc))}`);
}
