import { posix } from 'node:path';
import { HyperError } from '../errors.ts';
import type { GuestBind } from '../guest/index.ts';
import type { BuildMachine } from './build-machine.ts';
import type { BuildScope } from './build-scope.ts';
import type { Mount } from './dockerfile/instruction.ts';
import { idOf, isTrue, modeOf } from './mount-fields.ts';

const DEFAULT_AGENT = 'default';

/** Where the socket of a `--mount=type=ssh` is, the `index`th of its RUN. */
export function sshTarget({ fields }: Mount, index: number, workingDirectory: string): string {
  const target = fields.get('target');
  return target ? posix.resolve('/', workingDirectory || '/', target) : `/run/buildkit/ssh_agent.${index}`;
}

/**
 * A socket that leads to the client's ssh agent, as a bind at `target`; `undo` gets what ends it. undefined: the client forwards no such agent. Rejects
 * `not-found` where the step requires one.
 */
export async function sshBind(
  { agents }: BuildScope,
  { fields }: Mount,
  target: string,
  machine: BuildMachine,
  undo: (() => Promise<void>)[],
): Promise<GuestBind | undefined> {
  const id = fields.get('id') || DEFAULT_AGENT;
  if (!agents.ids.includes(id)) {
    if (!isTrue(fields.get('required'))) return undefined;
    throw new HyperError('not-found', `no SSH key "${id}" forwarded from the client: build with --ssh ${id}`);
  }
  const owner = {
    mode: modeOf(fields.get('mode') ?? '0600'),
    uid: idOf(fields.get('uid')),
    gid: idOf(fields.get('gid')),
  };
  const socket = await machine.openSocket(owner, (connection) => agents.serve(id, connection));
  undo.push(async () => socket[Symbol.asyncDispose]());
  return { source: socket.source, target };
}
