import { HyperError } from '../../errors.ts';
import { CommandError } from '../../guest/index.ts';
import type { ExecId } from '../../ids.ts';
import type { ClientStreams, ContainerView, PodService, PodView } from '../../pods/pod-service.ts';
import { clientVersion } from '../api-version.ts';
import { type HijackedSession, json, type ProcessEnd, type Route } from '../call.ts';
import type { ClientTags } from '../client-tags.ts';
import { integer, needed, ofSchema } from '../describe.ts';
import type { MachineExecs } from '../machine-execs.ts';
import type { Parameters } from '../parameters.ts';
import { ExecId as ExecIdSchema } from '../shapes/schemas.ts';
import { ttySize } from '../tty-size.ts';
import type { RouteContext } from './context.ts';
import { firstContainer, readsRaw } from './pod-runs.ts';

const SESSION = 'input raw, output raw with a tty, else in frames of 8 bytes header and payload';
const CONTAINER = { container: 'name, id or unique prefix of an id' };
const COMMAND = needed('a JSON array of strings, or one word');
/** What a session does that tells its process's end. */
export const TELLS_END =
  'all output comes in frames, with a terminal, too, and a last one (stream 4) has the exit code in decimal, and after a space why it could not be run';
const TAGGED = {
  type: '`container`, or `pod` for a pod or machine (below 0.6.2)',
  value: 'its id (below 0.6.2)',
};

/** Execs, attached sessions, terminals. */
export function execRoutes({ pods, machineExecs, clientTags }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'POST', path: '/exec/create' },
      summary: 'Creates a further process of a container, to be started by /exec/start',
      parameters: {
        ...CONTAINER,
        command: COMMAND,
        tty: '`yes`, `true` or `on`: with a terminal',
      },
      answers: { 201: ofSchema(ExecIdSchema, 'the id as a JSON string'), 404: 'unknown container' },
      statuses: { 'invalid-argument': 500 },
      handle: ({ parameters }) => {
        return json(201, createExec(pods, parameters.text('container'), parameters));
      },
    },
    {
      ...{ method: 'POST', path: '/exec/start' },
      answers: {
        101: `${SESSION}; where it was created by this call, \`Hyper-Container-Id\` and \`Hyper-Exec-Id\` name it for /exitcode`,
      },
      summary: 'Starts an exec with this connection as its input and output',
      parameters: {
        ...CONTAINER,
        exec: 'id of the exec; left out: one is created of `command` and `tty`',
        command: 'as for /exec/create',
        tty: 'as for /exec/create',
        end: `\`yes\`, \`true\` or \`on\`: ${TELLS_END}`,
      },
      isRaw: (query, headers) => !query.isYes('end') && readsRaw(clientVersion(headers)),
      open: ({ parameters, headers }) => {
        const { container, exec, ...told } = startedExec(pods, parameters);
        if (parameters.isYes('end')) {
          return {
            ...{ framed: true, detachKeys: false, ...told },
            run: (client) => execToEnd(pods, container, exec, client),
          };
        }
        const framed = !pods.execHasTty(container, exec) && !readsRaw(clientVersion(headers));
        return {
          ...{ framed, detachKeys: false, ...told },
          run: (client) => pods.startExec(container, exec, client),
        };
      },
    },
    {
      ...{ method: 'POST', path: '/attach', answers: { 101: SESSION } },
      summary: 'Joins this connection to a container, from now on; before its start, too',
      parameters: { ...CONTAINER, ...TAGGED, tag: 'a name for it, for /exitcode and /tty/resize' },
      isRaw: (query, headers) => query.text('value') !== '' || readsRaw(clientVersion(headers)),
      open: ({ parameters, headers }) => {
        const { id, tty } = attachedContainer(pods, parameters);
        const tag = parameters.text('tag');
        if (tag !== '') clientTags.set(tag, { container: id });
        const isRaw = parameters.text('value') !== '' || readsRaw(clientVersion(headers));
        return { framed: !tty && !isRaw, detachKeys: tty, run: (client) => pods.attach(id, client) };
      },
    },
    {
      ...{ method: 'POST', path: '/execvm' },
      summary: 'Runs a command in the guest, outside of all containers',
      parameters: { 'pod/podId': 'id of the pod', command: COMMAND },
      answers: { 101: 'raw bytes; `Hyper-Exec-Id` names it for /exitcode' },
      isRaw: () => true,
      open: ({ parameters }) => {
        const pod = pods.pod(parameters.text('pod', 'podId'));
        return machineSession(pods, pod, commandOf(parameters), machineExecs.open());
      },
    },
    {
      ...{ method: 'POST', path: '/exec', answers: { 101: 'raw bytes' } },
      summary: 'Runs a command in a container or machine, for clients below 0.6.2',
      parameters: {
        ...TAGGED,
        command: COMMAND,
        tag: 'a name for it, for /exitcode and /tty/resize',
        tty: '`yes`, `true` or `on`: with a terminal',
      },
      isRaw: () => true,
      open: (call) => legacyExec({ pods, machineExecs, clientTags }, call.parameters),
    },
    {
      ...{ method: 'POST', path: '/tty/resize', statuses: { 'invalid-argument': 500 } },
      summary: 'Sets the size of a terminal',
      parameters: {
        'container/id': 'name, id or unique prefix of an id; `id` may be that of a pod as well',
        exec: "one of its execs; empty: the container's own terminal",
        tag: 'the name that a session got (below 0.6.2)',
        h: needed(integer('rows')),
        w: needed(integer('columns')),
      },
      answers: { 200: 'done', 404: 'unknown container or exec' },
      handle: async ({ parameters }) => {
        const { container, exec } = terminalOf(pods, clientTags, parameters);
        const size = {
          rows: ttySize('h', parameters.integer('h'), parameters.text('h')),
          columns: ttySize('w', parameters.integer('w'), parameters.text('w')),
        };
        await pods.resizeTty(container, exec, size);
        return { kind: 'empty', status: 200 };
      },
    },
  ];
}

/** Resolves with the exec's end, also where its command cannot be run: the reason is output then, as it always is. */
async function execToEnd(
  pods: PodService,
  container: string,
  exec: string,
  client: ClientStreams,
): Promise<ProcessEnd | undefined> {
  try {
    await pods.startExec(container, exec, client);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    await client.write('stderr', Buffer.from(`${error.message}\n`));
    return { exitCode: error.exitCode };
  }
  return client.signal.aborted
    ? undefined
    : { exitCode: await pods.waitExec(container, exec, client.signal) };
}

function createExec(pods: PodService, container: string, parameters: Parameters): ExecId {
  const tty = parameters.isYes('tty');
  return pods.createExec(container, { command: commandOf(parameters), tty });
}

/** The exec to start: one that was created before, or of a command that comes with the call; `headers` tell of the latter. */
function startedExec(
  pods: PodService,
  parameters: Parameters,
): {
  readonly container: string;
  readonly exec: string;
  readonly headers?: Readonly<Record<string, string>>;
} {
  const container = parameters.text('container');
  const exec = parameters.text('exec');
  if (exec === '' && parameters.text('command') !== '') {
    const found = pods.container(container);
    requireRunning(found);
    const created = createExec(pods, found.id, parameters);
    const headers = { 'Hyper-Container-Id': found.id, 'Hyper-Exec-Id': created };
    return { container: found.id, exec: created, headers };
  }
  pods.execHasTty(container, exec); // an unknown one is told before a container that does not run
  requireRunning(pods.container(container));
  return { container, exec };
}

/** What `type` and `value` of releases below 0.6.2 name: a container, or with the type `pod` the first one of a pod or machine. */
function attachedContainer(pods: PodService, parameters: Parameters): ContainerView {
  const value = parameters.text('value');
  if (value === '') return pods.container(parameters.text('container'));
  if (parameters.text('type') !== 'pod') return pods.container(value);
  return firstContainer(pods, podOfValue(pods, value).id);
}

function podOfValue(pods: PodService, value: string): PodView {
  return pods.list().find(({ machineId }) => machineId === value) ?? pods.pod(value);
}

function legacyExec(
  { pods, machineExecs, clientTags }: Pick<RouteContext, 'pods' | 'machineExecs' | 'clientTags'>,
  parameters: Parameters,
): HijackedSession {
  const [value, tag] = [parameters.text('value'), parameters.text('tag')];
  if (parameters.text('type') === 'pod') {
    const opened = machineExecs.open();
    if (tag !== '') clientTags.set(tag, { machineExec: opened.id });
    return machineSession(pods, podOfValue(pods, value), commandOf(parameters), opened);
  }
  const container = pods.container(value);
  requireRunning(container);
  const exec = createExec(pods, container.id, parameters);
  if (tag !== '') clientTags.set(tag, { container: container.id, exec });
  return {
    ...{ framed: false, detachKeys: false },
    run: (client) => pods.startExec(container.id, exec, client),
  };
}

function machineSession(
  pods: PodService,
  pod: PodView,
  command: readonly string[],
  { id, settle }: ReturnType<MachineExecs['open']>,
): HijackedSession {
  requireMachine(pod);
  return {
    ...{ framed: false, detachKeys: false, headers: { 'Hyper-Exec-Id': id } },
    async run(client) {
      const code = pods.execInMachine(pod.id, command, client);
      settle(code);
      await code;
    },
  };
}

function terminalOf(
  pods: PodService,
  tags: ClientTags,
  parameters: Parameters,
): { readonly container: string; readonly exec: string | undefined } {
  const exec = parameters.text('exec');
  const tagged = tags.get(parameters.text('tag'));
  if (exec === '' && tagged && 'container' in tagged) return { exec: undefined, ...tagged };
  const id = parameters.text('container', 'id');
  const isPod = parameters.text('container') === '' && pods.list().some((pod) => pod.id === id);
  return {
    container: isPod ? firstContainer(pods, id).id : id,
    exec: exec === '' ? undefined : exec,
  };
}

/** What the service would refuse as well, found out while the client can still be given a status. */
function requireRunning({ name, state }: ContainerView): void {
  if (state.phase === 'running') return;
  throw new HyperError('precondition', `start exec: container "${name}" is not running`);
}

function requireMachine({ id, machineId }: PodView): void {
  if (machineId !== undefined) return;
  throw new HyperError('precondition', `cannot complete the operation, because the pod ${id} is not alive`);
}

function commandOf(parameters: Parameters): string[] {
  const text = parameters.text('command');
  if (!text.startsWith('[')) return [text];
  try {
    const words: unknown = JSON.parse(text);
    if (Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string')) {
      return words;
    }
  } catch (error) {
    throw new HyperError('invalid-argument', `read command: not JSON: ${(error as Error).message}`);
  }
  throw new HyperError('invalid-argument', 'read command: want a JSON array of at least one string');
}
