import { HyperError, isHyperError, messageOf } from '../../errors.ts';
import type { LogLine, LogOptions, PodService } from '../../pods/pod-service.ts';
import { ContainerSchema, checkContainerName, parseContainerSpec } from '../../pods/spec/index.ts';
import { isBelow } from '../api-version.ts';
import { type Answer, type Call, done, env, json, type Route } from '../call.ts';
import { flag, needed, ofSchema, ofType } from '../describe.ts';
import { exitCodeOf } from '../exec-exit-code.ts';
import { GRACE, graceOf } from '../grace.ts';
import type { Parameters } from '../parameters.ts';
import { containerInfo } from '../shapes/container-info.ts';
import { ActionAnswer, ContainerInfo, EmptyAnswer, ExitCode, IdAnswer } from '../shapes/schemas.ts';
import { stdcopyFrame } from '../stdcopy.ts';
import { unixTimeNs } from '../unix-time.ts';
import type { RouteContext } from './context.ts';
import { signalOf } from './pods.ts';

const CONTAINER = { container: 'name, id or unique prefix of an id' };
const UNKNOWN = 'unknown container';
/** What the original answers for a tag that it does not know. */
const UNKNOWN_TAG = -1;

/** Containers. */
export function containerRoutes({ pods, ...context }: RouteContext): Route[] {
  return [
    {
      ...{ method: 'GET', path: '/container/info', parameters: CONTAINER },
      statuses: { 'invalid-argument': 500 },
      summary: 'Describes a container',
      answers: { 200: ofSchema(ContainerInfo, 'ContainerInfo (201 below 0.6)'), 404: UNKNOWN },
      handle: ({ parameters, version }) => {
        const name = parameters.text('container');
        if (name === '') throw new HyperError('invalid-argument', 'Empty container name');
        return json(isBelow(version, [0, 6]) ? 201 : 200, containerInfo(pods.container(name)));
      },
    },
    {
      ...{ method: 'GET', path: '/container/logs' },
      summary: "Streams a container's log",
      parameters: {
        ...CONTAINER,
        'stdout, stderr': flag('which of them; at least one'),
        follow: flag('go on until the container ends'),
        since: 'unix time, `seconds[.nanoseconds]`',
        until: 'unix time; what is followed ends then',
        tail: 'last lines only; no number: all',
        'timestamps/timestamp': flag('a time stamp before every line'),
      },
      answers: {
        200: ofType('text/plain', "raw with a tty, else Docker's frames, one a line"),
        400: 'neither `stdout` nor `stderr`',
        404: UNKNOWN,
      },
      handle: (call) => containerLogs(pods, call),
    },
    {
      ...{ method: 'POST', path: '/container/create', body: 'json', bodySchema: ContainerSchema },
      statuses: { conflict: 500 },
      summary: 'Adds a container to a pod; it is `pending` until started',
      parameters: { 'podId/podID': 'id of the pod' },
      answers: {
        201: ofSchema(IdAnswer, '`ID`'),
        400: 'unknown pod',
        404: 'the image is missing',
        500: 'the specification breaks a rule, or the name is taken',
      },
      handle: async ({ parameters, json: body }) => {
        const pod = parameters.text('podId', 'podID');
        if (pod === '') throw new HyperError('invalid-spec', 'podId is required to create a new container');
        requirePod(pods, pod);
        return env(201, { ID: await pods.addContainer(pod, parseContainerSpec(body)) });
      },
    },
    {
      ...{ method: 'POST', path: '/container/start', parameters: CONTAINER },
      summary: 'Starts a container; one that runs is left as it is',
      answers: { 200: ofSchema(EmptyAnswer, '`{}`'), 404: UNKNOWN },
      handle: async ({ parameters }) => {
        await pods.startContainer(parameters.text('container'));
        return env(200, {});
      },
    },
    {
      ...{ method: 'POST', path: '/container/stop', parameters: { ...CONTAINER, ...GRACE } },
      summary: 'Stops a container: stop signal, time to obey, SIGKILL',
      answers: { 200: ofSchema(EmptyAnswer, '`{}` (201 below 0.8)'), 404: UNKNOWN },
      handle: async ({ parameters, version }) => {
        await pods.stopContainer(parameters.text('container'), graceOf(parameters));
        return env(isBelow(version, [0, 8]) ? 201 : 200, {});
      },
    },
    {
      ...{ method: 'POST', path: '/container/kill' },
      summary: 'Signals a container; one that does not run is left as it is',
      parameters: { ...CONTAINER, signal: 'number or name (default 15)' },
      answers: { 201: ofSchema(EmptyAnswer, '`{}`'), 404: UNKNOWN },
      handle: async ({ parameters }) => {
        await pods.killContainer(parameters.text('container'), signalOf(parameters));
        return env(201, {});
      },
    },
    {
      ...{ method: 'POST', path: '/container/remove', parameters: CONTAINER },
      summary: 'Ends a container and removes it with its writable layer',
      answers: { 204: 'done', 404: UNKNOWN },
      handle: async ({ parameters }) => {
        await pods.removeContainer(parameters.text('container'));
        return { kind: 'empty', status: 204 };
      },
    },
    {
      ...{ method: 'POST', path: '/container/rename' },
      summary: 'Gives a container another name',
      parameters: { 'oldName/oleName': 'its name', newName: needed('the other name') },
      answers: {
        200: ofSchema(ActionAnswer, '`ID` (the new name), `Code` 0, `Cause`'),
        404: UNKNOWN,
        409: 'the name is taken',
      },
      handle: ({ parameters }) => {
        const name = parameters.text('newName').replace(/^\//, '');
        checkContainerName(name, 'newName');
        pods.renameContainer(parameters.text('oldName', 'oleName'), name);
        return done(200, name);
      },
    },
    {
      ...{ method: 'GET', path: '/exitcode', aliases: ['/container/exitcode'] },
      summary:
        'Waits for a container or exec to end and tells its exit code; 0 at once for one never started',
      parameters: {
        ...CONTAINER,
        exec: 'an exec of it',
        tag: 'the name that a session got (below 0.6.2); -1 for one that is not known',
        pod: 'instead of container: the pod of an exec that /execvm named in `Hyper-Exec-Id`',
      },
      answers: { 200: ofSchema(ExitCode, 'the number'), 404: 'unknown container or exec' },
      handle: async (call) => json(200, await exitCode({ pods, ...context }, call)),
    },
  ];
}

type Waiting = Pick<RouteContext, 'pods' | 'machineExecs' | 'clientTags'>;

async function exitCode(context: Waiting, { parameters, signal }: Call): Promise<number> {
  const { pods, machineExecs } = context;
  const container = parameters.text('container');
  const [exec, tag] = [parameters.text('exec'), parameters.text('tag')];
  if (exec === '') return tag === '' ? pods.wait(container, signal) : taggedExitCode(context, tag, signal);
  const ofMachine = container === '' && parameters.text('pod') !== '';
  return exitCodeOf(ofMachine ? machineExecs.wait(exec, signal) : pods.waitExec(container, exec, signal));
}

async function taggedExitCode(
  { pods, machineExecs, clientTags }: Waiting,
  tag: string,
  signal: AbortSignal,
): Promise<number> {
  const tagged = clientTags.get(tag);
  if (!tagged) return UNKNOWN_TAG;
  if ('machineExec' in tagged) return exitCodeOf(machineExecs.wait(tagged.machineExec, signal));
  const { container, exec } = tagged;
  return exec === undefined
    ? pods.wait(container, signal)
    : exitCodeOf(pods.waitExec(container, exec, signal));
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

function containerLogs(pods: PodService, { parameters, version, signal }: Call): Answer {
  const options = logOptions(parameters, signal);
  const name = parameters.text('container');
  const timestamps = parameters.flag('timestamps', 'timestamp');
  const { lines, tty } = openLog(pods, name, options);
  const isRaw = tty || isBelow(version, [0, 6]);
  return {
    kind: 'stream',
    contentType: 'text/plain; charset=utf-8',
    async produce(out) {
      out.open();
      try {
        for await (const line of lines) await out.write(logChunk(line, { isRaw, timestamps }));
      } catch (error) {
        if (!signal.aborted) await out.write(logFailure(error, isRaw));
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
  const [since, until] = [parameters.text('since'), parameters.text('until')];
  const tail = parameters.integer('tail');
  return {
    ...{ stdout, stderr, follow: parameters.flag('follow'), signal },
    ...(since === '' || since === '0' ? {} : { since: new Date(unixTimeNs('since', since) / 1e6) }),
    ...(until === '' || until === '0' ? {} : { until: new Date(unixTimeNs('until', until) / 1e6) }),
    ...(tail === undefined || tail < 0 ? {} : { tail }),
  };
}

function logChunk(line: LogLine, { isRaw, timestamps }: { isRaw: boolean; timestamps: boolean }): Uint8Array {
  const bytes = timestamps ? Buffer.concat([Buffer.from(`${line.time} `), line.bytes]) : line.bytes;
  return isRaw ? bytes : stdcopyFrame(line.stream, bytes);
}

function logFailure(error: unknown, isRaw: boolean): Uint8Array {
  const text = Buffer.from(`Error running logs job: ${messageOf(error)}\n`);
  return isRaw ? text : stdcopyFrame('stderr', text);
}
