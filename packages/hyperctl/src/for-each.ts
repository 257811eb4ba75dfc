import type { Terminal } from './command.ts';

const AT_ONCE = 8;

/**
 * Does `action` for every id, some at once; prints what it says, or on stderr why it failed. Resolves with the exit code: 1 when any failed.
 */
export async function forEach(
  ids: readonly string[],
  { stdout, stderr }: Terminal,
  action: (id: string) => Promise<string | undefined>,
): Promise<number> {
  const rest = [...ids];
  let exitCode = 0;
  const work = async (): Promise<void> => {
    for (let id = rest.shift(); id !== undefined; id = rest.shift()) {
      try {
        const text = await action(id);
        if (text !== undefined) stdout.write(`${text}\n`);
      } catch (error) {
        exitCode = 1;
        stderr.write(`hyperctl ERROR: ${(error as Error).message}\n`);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return exitCode;
}
