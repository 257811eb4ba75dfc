import { HyperError } from '../../errors.ts';
import type { ContainerView, PodView } from '../../pods/pod-service.ts';
import { json, type Route } from '../call.ts';
import type { Parameters } from '../parameters.ts';
import type { RouteContext } from './context.ts';

const MAX_TTY_SIZE = 65_535;
const SESSION = '101, then input raw, output raw with a tty, else in frames of 8 bytes header and payload';

/** Execs, attached sessions, terminals. */
export function execRoutes({ pods, machineExecs }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'POST', path: '/exec/create', answers: '201 the id as a JSON string' },
      summary: 'Creates a further process of a container, to be started by /exec/start',
      parameters: {
        container: 'name, id or unique prefix of an id',
        command: 'a JSON array of strings, or one word',
        tty: '`yes`, `true` or `on`: with a terminal',
      },
      handle: ({ parameters }) => {
        const command = commandOf(parameters);
        const tty = parameters.isOneOf('tty', ['yes', 'true', 'on']);
        return json(201, pods.createExec(parameters.text('container'), { command, tty }));
      },
    },
    {
      ...{ method: 'POST', path: '/exec/start', answers: SESSION },
      summary: 'Starts an exec with this connection as its input and output',
      parameters: { container: 'its container', exec: 'id of the exec' },
      open: ({ parameters }) => {
        const container = parameters.text('container');
        const exec = parameters.text('exec');
        const tty = pods.execHasTty(container, exec);
        requireRunning(pods.container(container));
        return {
          ...{ framed: !tty, detachKeys: false },
          run: (client) => pods.startExec(container, exec, client),
        };
      },
    },
    {
      ...{ method: 'POST', path: '/attach', answers: SESSION },
      summary: 'Joins this connection to a container, from now on; before its start, too',
      parameters: { container: 'name, id or unique prefix of an id' },
      open: ({ parameters }) => {
        const { id, tty } = pods.container(parameters.text('container'));
        return { framed: !tty, detachKeys: tty, run: (client) => pods.attach(id, client) };
      },
    },
    {
      ...{
        method: 'POST',
        path: '/execvm',
        answers: '101, then raw bytes; `Hyper-Exec-Id` names it for /exitcode',
      },
      summary: 'Runs a command in the guest, outside of all containers',
      parameters: { 'pod/podId': 'id of the pod', command: 'a JSON array of strings, or one word' },
      open: ({ parameters }) => {
        const pod = parameters.text('pod', 'podId');
        const command = commandOf(parameters);
        requireMachine(pods.pod(pod));
        const { id, settle } = machineExecs.open();
        return {
          ...{ framed: false, detachKeys: false, headers: { 'Hyper-Exec-Id': id } },
          run: async (client) => {
            const code = pods.execInMachine(pod, command, client);
            settle(code);
            await code;
          },
        };
      },
    },
    {
      ...{ method: 'POST', path: '/tty/resize', answers: '200' },
      summary: 'Sets the size of a terminal',
      parameters: {
        container: 'name, id or unique prefix of an id',
        'exec/tag': "one of its execs; empty: the container's own terminal",
        h: 'rows',
        w: 'columns',
      },
      handle: async ({ parameters }) => {
        const exec = parameters.text('exec', 'tag');
        const size = { rows: sizeOf(parameters, 'h'), columns: sizeOf(parameters, 'w') };
        await pods.resizeTty(parameters.text('container', 'id'), exec === '' ? undefined : exec, size);
        return { kind: 'empty', status: 200 };
      },
    },
  ];
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

function sizeOf(parameters: Parameters, name: string): number {
  const size = parameters.integer(name);
  if (size !== undefined && size >= 1 && size <= MAX_TTY_SIZE) return size;
  throw new HyperError(
    'invalid-argument',
    `resize tty: "${name}" is "${parameters.text(name)}", want 1 to ${MAX_TTY_SIZE}`,
  );
}

function commandOf(parameters: Parameters): string[] {
  const text = parameters.required('command');
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
