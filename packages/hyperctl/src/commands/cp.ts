import type { Command, CommandContext } from '../command.ts';
import { type Copying, copyIn, copyOut } from '../copy/copy.ts';
import { findContainer } from '../find-container.ts';
import { printable } from '../table.ts';
import { UsageError } from '../usage-error.ts';

export const command: Command = {
  name: 'cp',
  operands: 'SOURCE CONTAINER:PATH | CONTAINER:PATH TARGET',
  summary: 'Copy files and directories between this host and a container',
  details: `A source directory goes into a target that exists, or becomes a target that does not; with "/." at its end its contents are
copied. A target with "/" at its end has to be a directory. "-" is a tar on stdin or stdout. The container need not run, its pod does;
CONTAINER may also be a pod, whose first container is meant. A host path with a colon in it begins with "/" or "./".`,
  options: [
    {
      name: 'archive',
      short: 'a',
      help: "keep owners; otherwise files are root's in the container, and yours here",
    },
    { name: 'follow-link', short: 'L', help: 'copy what a symbolic link as SOURCE leads to, not the link' },
  ],
  operandCount: [2, 2],
  async run(context) {
    const { options, operands, terminal } = context;
    const [source = '', target = ''] = operands;
    const [from, to] = [containerOf(source), containerOf(target)];
    const copying: Copying = {
      ...{ client: context.client, terminal },
      ...{ archive: options.flag('archive'), followLink: options.flag('follow-link') },
      warn: (message) => terminal.stderr.write(`hyperctl: ${printable(message)}\n`),
    };
    if (from && to)
      throw new UsageError('cp: one of both has to be on this host; copy with "-" twice instead');
    if (to) await copyIn(copying, source, await located(context, to));
    else if (from) await copyOut(copying, await located(context, from), target);
    else throw new UsageError(`cp "${source}" "${target}": want CONTAINER:PATH for one of both`);
    return 0;
  },
};

interface Named {
  readonly reference: string;
  readonly path: string;
}

/** `CONTAINER:PATH`; undefined: a path of this host, or `-`. */
export function containerOf(text: string): Named | undefined {
  const colon = text.indexOf(':');
  if (colon < 1 || /^[./]/.test(text)) return undefined;
  return { reference: text.slice(0, colon), path: text.slice(colon + 1) };
}

async function located(
  { client }: CommandContext,
  { reference, path }: Named,
): Promise<{ container: string; path: string }> {
  const { container } = await findContainer(client, reference);
  if (path === '') throw new UsageError(`cp "${reference}:": want a path behind the colon`);
  return { container: container.containerID, path: path.startsWith('/') ? path : `/${path}` };
}
