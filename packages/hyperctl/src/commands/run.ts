import type { Client, RunSession } from '@hyperd/client';
import type { Command, CommandContext, Terminal } from '../command.ts';
import { imagesOf, pullingImages } from '../create-pod.ts';
import { isNotFound } from '../find-container.ts';
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
    const creating = <T>(create: () => Promise<T>): Promise<T> =>
      signals.orInterrupted(pullingImages(client, imagesOf(spec), create, terminal.stderr, signals.signal));
    if (!detached) {
      const remove = options.flag('rm');
      const session = await creating(() => client.run(spec, { remove }));
      return await runAttached(client, session, terminal, signals, remove);
    }
    const pod = await creating(() => client.createPod(spec));
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
  session: RunSession,
  terminal: Terminal,
  signals: SignalForwarder,
  remove: boolean,
): Promise<number> {
  try {
    return await signals.orInterrupted(untilEnd(client, session, terminal, signals));
  } catch (error) {
    // The daemon removes it only when it has ended by itself.
    if (remove) await client.removePod(session.pod).catch(unlessGone);
    if (error instanceof BrokenPipeError) return BROKEN_PIPE_EXIT_CODE;
    throw error;
  }
}

/** Goes along until the container has ended, or the terminal is detached. Resolves with the exit code. */
async function untilEnd(
  client: Client,
  session: RunSession,
  terminal: Terminal,
  signals: SignalForwarder,
): Promise<number> {
  const { container, tty } = session;
  let stopFollowing = (): void => undefined;
  void session.started.then(() => {
    signals.to((signal) => client.killContainer(container, signal));
    if (tty) stopFollowing = followWindowSize(terminal.stdout, (size) => client.resizeTty(container, size));
  });
  try {
    if ((await joinSession(session, terminal, { tty })) === 'detached') return 0;
    const end = await session.ended;
    if (end?.message !== undefined) terminal.stderr.write(`hyperctl ERROR: ${end.message}\n`);
    // A daemon that was restarted meanwhile has let go of the session, not of the container.
    return end?.exitCode ?? (await client.wait(container, signals.signal));
  } finally {
    stopFollowing();
  }
}

function unlessGone(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
