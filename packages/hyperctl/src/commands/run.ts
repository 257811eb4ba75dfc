import { ApiError, type Client } from '@hyperd/client';
import type { Command, CommandContext, Terminal } from '../command.ts';
import { imagesOf, pullingImages } from '../create-pod.ts';
import { podFromFile } from '../pod-file.ts';
import { POD_OPTIONS, podOf, withPublished } from '../pod-options.ts';
import { joinSession } from '../session-io.ts';
import { InterruptedError, SignalForwarder } from '../signals.ts';
import { UsageError } from '../usage-error.ts';
import { makeHostDirectories } from '../volume-options.ts';
import { followWindowSize } from '../window-size.ts';
import { BrokenPipeError } from '../write.ts';

/** 128 and SIGPIPE, as a shell reports it. */
const BROKEN_PIPE_EXIT_CODE = 141;

export const command: Command = {
  name: 'run',
  operands: 'IMAGE [COMMAND...]  (none with -p, a file with -y)',
  summary: 'Create a pod of one container, start it, and join it until it ends',
  details: `Missing images are pulled; progress goes to stderr. The exit code is the container's own. SIGINT, SIGTERM, SIGHUP and SIGQUIT go
to the container; a second one within a second gives up waiting. On a terminal with -t all keys go to the container, and
Ctrl-P Ctrl-Q leave it running, with --rm as well. With -d, --rm has the daemon remove the pod when it has ended.`,
  options: [
    ...POD_OPTIONS,
    { name: 'detach', short: 'd', help: 'leave the pod running and print its id' },
    { name: 'attach', short: 'a', help: 'with a pod file: join the first container' },
    { name: 'rm', help: 'remove the pod when it has ended, or when interrupted' },
  ],
  stopAtOperand: true,
  operandCount: [0, Number.POSITIVE_INFINITY],
  run,
};

async function run({ client, options, operands, terminal }: CommandContext): Promise<number> {
  const { pod: fromFile, operands: rest } = await podFromFile(options, operands, terminal.stdin);
  const [image, ...words] = rest;
  if (fromFile && image !== undefined)
    throw new UsageError(`"${image}" comes after a pod file, want nothing there`);
  if (!fromFile && image === undefined) throw new UsageError('run needs an IMAGE, or a pod file with -p');
  const detached = options.flag('detach') || (fromFile !== undefined && !options.flag('attach'));
  const given = fromFile ? withPublished(fromFile, options) : podOf(options, image ?? '', words);
  const spec = detached && options.flag('rm') ? { ...given, autoRemove: true } : given;
  if (!fromFile) await makeHostDirectories(options);
  using signals = new SignalForwarder();
  const startedAt = performance.now();
  try {
    const create = (): Promise<string> => client.createPod(spec);
    const created = pullingImages(client, imagesOf(spec), create, terminal.stderr, signals.signal);
    const pod = await signals.orInterrupted(created);
    if (!detached) return await runAttached(client, pod, terminal, signals, options.flag('rm'));
    terminal.stdout.write(`POD id is ${pod}\n`);
    await signals.orInterrupted(client.startPod(pod));
    terminal.stdout.write(`Time to run a POD is ${Math.round(performance.now() - startedAt)} ms\n`);
    return 0;
  } catch (error) {
    if (error instanceof InterruptedError) return error.exitCode;
    throw error;
  }
}

async function runAttached(
  client: Client,
  pod: string,
  terminal: Terminal,
  signals: SignalForwarder,
  remove: boolean,
): Promise<number> {
  let wasDetached = false;
  try {
    const exitCode = await signals.orInterrupted(joinFirst(client, pod, terminal, signals));
    wasDetached = exitCode === undefined;
    return exitCode ?? 0;
  } catch (error) {
    if (error instanceof BrokenPipeError) return BROKEN_PIPE_EXIT_CODE;
    throw error;
  } finally {
    if (remove && !wasDetached) await client.removePod(pod);
  }
}

/**
 * Attaches to the pod's first container, starts the pod, and goes along until the container has ended. Resolves with its exit code;
 * undefined when the terminal was detached.
 */
async function joinFirst(
  client: Client,
  pod: string,
  terminal: Terminal,
  signals: SignalForwarder,
): Promise<number | undefined> {
  const { spec } = await client.podInfo(pod);
  const container = spec.containers?.[0];
  if (!container) throw new Error(`attach to pod "${pod}": it has no container`);
  const { containerID: id, tty = false } = container;
  const session = await client.attach(id, { tty });
  const joined = joinSession(session, terminal, { tty });
  joined.catch(() => undefined); // looked at below, when the pod has been started
  try {
    await client.startPod(pod);
  } catch (error) {
    session.close();
    return await startFailed(client, id, error, terminal);
  }
  signals.to((signal) => client.killContainer(id, signal));
  const stopFollowing = tty
    ? followWindowSize(terminal.stdout, (size) => client.resizeTty(id, size))
    : () => undefined;
  try {
    return (await joined) === 'detached' ? undefined : await client.wait(id, signals.signal);
  } finally {
    stopFollowing();
  }
}

/** A command that cannot be run is told like a process that ended so. Throws `error` for everything else. */
async function startFailed(client: Client, id: string, error: unknown, terminal: Terminal): Promise<number> {
  if (!(error instanceof ApiError)) throw error;
  const { status } = await client.containerInfo(id);
  if (status.phase !== 'failed') throw error;
  terminal.stderr.write(`hyperctl ERROR: ${error.message}\n`);
  return status.terminated.exitCode ?? 1;
}
