import { HyperError, isHyperError, messageOf } from '../../errors.ts';
import { CommandError } from '../../guest/index.ts';
import type { LogLine, LogOptions, PodService } from '../../pods/pod-service.ts';
import { checkContainerName, parseContainerSpec } from '../../pods/spec/index.ts';
import { type Answer, type Call, done, env, json, type Route } from '../call.ts';
import type { Parameters } from '../parameters.ts';
import { containerInfo } from '../shapes/container-info.ts';
import { stdcopyFrame } from '../stdcopy.ts';
import { unixTimeNs } from '../unix-time.ts';
import type { RouteContext } from './context.ts';
import { signalOf } from './pods.ts';

const CONTAINER = { container: 'name, id or unique prefix of an id' };

/** Containers. */
export function containerRoutes({ pods, machineExecs }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/container/info', parameters: CONTAINER, answers: '200 ContainerInfo' },
      summary: 'Describes a container',
      handle: ({ parameters }) => {
        const name = parameters.text('container');
        if (name === '') throw new HyperError('invalid-argument', 'Empty container name');
        return json(200, containerInfo(pods.container(name)));
      },
    },
    {
      ...{
        method: 'GET',
        path: '/container/logs',
        answers: "200 stream: raw with a tty, else Docker's frames, one a line",
      },
      summary: "Streams a container's log",
      parameters: {
        ...CONTAINER,
        'stdout, stderr': 'which of them; at least one',
        follow: 'go on until the container ends',
        since: 'unix time, `seconds[.nanoseconds]`',
        tail: 'last lines only; no number: all',
        timestamps: 'a time stamp before every line',
      },
      handle: (call) => containerLogs(pods, call),
    },
    {
      ...{ method: 'POST', path: '/container/create', body: 'json', statuses: { conflict: 500 } },
      summary: 'Adds a container to a pod; it is `pending` until started',
      parameters: { podId: 'id of the pod' },
      answers: '201 `ID`; 404 when the image is missing',
      handle: async ({ parameters, json: body }) => {
        const pod = parameters.text('podId');
        if (pod === '')
          throw new HyperError('invalid-argument', 'podId is required to create a new container');
        requirePod(pods, pod);
        return env(201, { ID: await pods.addContainer(pod, parseContainerSpec(body)) });
      },
    },
    {
      ...{ method: 'POST', path: '/container/start', parameters: CONTAINER, answers: '200 `{}`' },
      summary: 'Starts a container; one that runs is left as it is',
      handle: async ({ parameters }) => {
        await pods.startContainer(parameters.text('container'));
        return env(200, {});
      },
    },
    {
      ...{ method: 'POST', path: '/container/stop', parameters: CONTAINER, answers: '200 `{}`' },
      summary: 'Stops a container: stop signal, 5 s, SIGKILL',
      handle: async ({ parameters }) => {
        await pods.stopContainer(parameters.text('container'));
        return env(200, {});
      },
    },
    {
      ...{ method: 'POST', path: '/container/kill', answers: '201 `{}`' },
      summary: 'Signals a container; one that does not run is left as it is',
      parameters: { ...CONTAINER, signal: 'number or name (default 15)' },
      handle: async ({ parameters }) => {
        await pods.killContainer(parameters.text('container'), signalOf(parameters));
        return env(201, {});
      },
    },
    {
      ...{ method: 'POST', path: '/container/remove', parameters: CONTAINER, answers: '204' },
      summary: 'Ends a container and removes it with its writable layer',
      handle: async ({ parameters }) => {
        await pods.removeContainer(parameters.text('container'));
        return { kind: 'empty', status: 204 };
      },
    },
    {
      ...{ method: 'POST', path: '/container/rename', answers: '200 `ID` (the new name), `Code` 0, `Cause`' },
      summary: 'Gives a container another name',
      parameters: { oldName: 'its name', newName: 'the other name' },
      handle: ({ parameters }) => {
        const name = parameters.required('newName').replace(/^\//, '');
        checkContainerName(name, 'newName');
        pods.renameContainer(parameters.text('oldName', 'oleName'), name);
        return done(200, name);
      },
    },
    {
      ...{ method: 'GET', path: '/exitcode', aliases: ['/container/exitcode'], answers: '200 the number' },
      summary:
        'Waits for a container or exec to end and tells its exit code; 0 at once for one never started',
      parameters: {
        ...CONTAINER,
        'exec/tag': 'an exec of it',
        pod: 'instead of container: the pod of an exec that /execvm named in `Hyper-Exec-Id`',
      },
      handle: async ({ parameters, signal }) => {
        const container = parameters.text('container');
        const exec = parameters.text('exec', 'tag');
        if (exec === '') return json(200, await pods.wait(container, signal));
        const ofMachine = container === '' && parameters.text('pod') !== '';
        const ended = ofMachine ? machineExecs.wait(exec, signal) : pods.waitExec(container, exec, signal);
        return json(200, await exitCodeOf(ended));
      },
    },
  ];
}

/** The code of an exec, also of one whose command cannot be run: 126 or 127, as a shell has it. */
async function exitCodeOf(ended: Promise<number>): Promise<number> {
  try {
    return await ended;
  } catch (error) {
    if (error instanceof CommandError) return error.exitCode;
    throw error;
  }
}

/** An unknown pod must not be 404 here: the original's client would pull an image. */
function requirePod(pods: PodService, id: string): void {
  try {
    pods.pod(id);
  } catch (error) {
    if (!isHyperError(error, 'not-found')) throw error;
    throw new HyperError('invalid-argument', `The pod(${id}) can not be found`, { cause: error });
  }
}

function containerLogs(pods: PodService, { parameters, signal }: Call): Answer {
  const options = logOptions(parameters, signal);
  const name = parameters.text('container');
  const timestamps = parameters.flag('timestamps', 'timestamp');
  const { lines, tty } = openLog(pods, name, options);
  return {
    kind: 'stream',
    contentType: 'text/plain; charset=utf-8',
    async produce(out) {
      out.open();
      try {
        for await (const line of lines) await out.write(logChunk(line, { tty, timestamps }));
      } catch (error) {
        if (!signal.aborted) await out.write(logFailure(error, tty));
      }
    },
  };
}

function openLog(
  pods: PodService,
  name: string,
  options: LogOptions,
): { lines: AsyncIterable<LogLine>; tty: boolean } {
  try {
    return { lines: pods.logs(name, options), tty: pods.container(name).tty };
  } catch (error) {
    if (!isHyperError(error)) throw error;
    throw new HyperError(error.code, `Error running logs job: ${error.message}`, { cause: error });
  }
}

function logOptions(parameters: Parameters, signal: AbortSignal): LogOptions {
  const stdout = parameters.flag('stdout');
  const stderr = parameters.flag('stderr');
  if (!stdout && !stderr) {
    throw new HyperError('invalid-argument', 'Bad parameters: you must choose at least one stream');
  }
  const since = parameters.text('since');
  const tail = parameters.integer('tail');
  return {
    ...{ stdout, stderr, follow: parameters.flag('follow'), signal },
    ...(since === '' || since === '0' ? {} : { since: new Date(unixTimeNs('since', since) / 1e6) }),
    ...(tail === undefined || tail < 0 ? {} : { tail }),
  };
}

function logChunk(line: LogLine, { tty, timestamps }: { tty: boolean; timestamps: boolean }): Uint8Array {
  const bytes = timestamps ? Buffer.concat([Buffer.from(`${line.time} `), line.bytes]) : line.bytes;
  return tty ? bytes : stdcopyFrame(line.stream, bytes);
}

function logFailure(error: unknown, tty: boolean): Uint8Array {
  const text = Buffer.from(`Error running logs job: ${messageOf(error)}\n`);
  return tty ? text : stdcopyFrame('stderr', text);
}
