import { exitCodeOf } from '../../api/exec-exit-code.ts';
import { stdcopyFrame } from '../../api/stdcopy.ts';
import { ttySize } from '../../api/tty-size.ts';
import { HyperError } from '../../errors.ts';
import { CommandError } from '../../guest/index.ts';
import type { ClientStreams } from '../../pods/pod-service.ts';
import { signalNumber } from '../../signals.ts';
import { required } from '../call.ts';
import type { Methods, RpcContext } from '../context.ts';
import { SignaledExecs } from '../signaled-execs.ts';

/** Attached clients, execs, exit codes, terminals. */
export function processMethods({
  pods,
}: RpcContext): Methods<
  'attach' | 'execCreate' | 'execStart' | 'execSignal' | 'execVM' | 'wait' | 'tTYResize'
> {
  const signaled = new SignaledExecs();
  return {
    async attach(requests, send, { signal }) {
      const { value: first, done } = await requests.next();
      if (done) return;
      const { id, tty } = pods.container(required('containerID', first.containerID));
      const write = framed(tty, (data) => send({ data }));
      const input = inputOf(requests, first, ({ data }) => data);
      await pods.attach(id, { input, write, signal });
    },
    execCreate({ containerID, command, tty }) {
      if (command.length === 0) throw new HyperError('invalid-argument', 'create exec: no command');
      return { execID: pods.createExec(required('containerID', containerID), { command, tty }) };
    },
    async execStart(requests, send, { signal }) {
      const { value: first, done } = await requests.next();
      if (done) return;
      const container = required('containerID', first.containerID);
      const tty = pods.execHasTty(container, first.execID);
      const write = framed(tty, (stdout) => send({ stdout }));
      const input = inputOf(requests, first, ({ stdin }) => stdin);
      try {
        await pods.startExec(container, first.execID, { input, write, signal });
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        await write('stderr', Buffer.from(`${error.message}\n`)); // Wait tells the exit code
      }
    },
    async execSignal({ containerID, execID, signal: number }) {
      const signal = signalNumber(String(number));
      await pods.signalExec(required('containerID', containerID), execID, signal);
      signaled.add(execID, signal);
      return {};
    },
    async execVM(requests, send, { signal }) {
      const { value: first, done } = await requests.next();
      if (done) return;
      if (first.command.length === 0) throw new HyperError('invalid-argument', 'run in machine: no command');
      const input = inputOf(requests, first, ({ stdin }) => stdin);
      const write: ClientStreams['write'] = (_stream, stdout) => send({ stdout });
      const ended = pods.execInMachine(first.podID, first.command, { input, write, signal });
      await send({ exitCode: await exitCodeOf(ended) });
    },
    async wait({ container, processId }, { signal }) {
      const found = required('container', container);
      if (processId === '') return { exitCode: await pods.wait(found, signal) };
      const exitCode = await exitCodeOf(pods.waitExec(found, processId, signal));
      return { exitCode: signaled.exitCode(processId, exitCode) };
    },
    async tTYResize({ containerID, execID, width, height }) {
      await pods.resizeTty(required('containerID', containerID), execID === '' ? undefined : execID, {
        rows: ttySize('height', height, String(height)),
        columns: ttySize('width', width, String(width)),
      });
      return {};
    },
  };
}

/** Output as the original sends it: raw from a terminal, else a frame in each message. */
function framed(tty: boolean, send: (bytes: Uint8Array) => Promise<void>): ClientStreams['write'] {
  return (stream, chunk) => send(tty ? chunk : stdcopyFrame(stream, chunk));
}

/** What a client types: the bytes of its first message, if any, and of those that follow. */
async function* inputOf<T>(
  requests: AsyncIterator<T>,
  first: T,
  bytesOf: (request: T) => Uint8Array,
): AsyncGenerator<Uint8Array> {
  for (let next: IteratorResult<T> = { value: first }; !next.done; next = await requests.next()) {
    const bytes = bytesOf(next.value);
    if (bytes.length > 0) yield bytes;
  }
}
