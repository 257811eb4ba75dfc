import { CommandError } from '../guest/index.ts';

/** The code of an exec, also of one whose command cannot be run: 126 or 127, as a shell has it. */
export async function exitCodeOf(ended: Promise<number>): Promise<number> {
  try {
    return await ended;
  } catch (error) {
    if (error instanceof CommandError) return error.exitCode;
    throw error;
  }
}
