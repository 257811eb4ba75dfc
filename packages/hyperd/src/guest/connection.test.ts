import assert from 'node:assert/strict';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { isHyperError } from '../errors.ts';
import type { OutputSink, ProcessSpec } from './agent.ts';
import { CommandError } from './command-error.ts';
import { connectAgent } from './connection.ts';
import {
  encodeFrame,
  FLAG_EOF,
  FLAG_RESUME,
  FRAME_ACK,
  FRAME_CONTROL,
  FRAME_DATA,
  type Frame,
  FrameDecoder,
} from './frames.ts';
import { Error_Code, FromAgentSchema, type ToAgent, ToAgentSchema } from './gen/agent_pb.js';

const WINDOW = 4096;
const spec: ProcessSpec = {
  ...{ id: 7, args: ['x'], env: [], cwd: '/', user: '', additionalGroups: [], tty: false },
  ...{ rows: 0, columns: 0, noStdin: false, rlimits: [] },
};

/** The guest's end of a connection, scripted: answers as the test says. */
class Guest {
  readonly #stream: Duplex;
  readonly #decoder = new FrameDecoder();
  readonly frames: Frame[] = [];
  readonly calls: ToAgent[] = [];
  answer: (
    call: ToAgent,
  ) => MessageInitShape<typeof FromAgentSchema>['body'] | 'silence' | { failed: Error_Code } = () => ({
    case: 'done',
    value: {},
  });
  protocol = 1;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      for (const frame of this.#decoder.push(chunk)) this.#handle(frame);
    });
  }

  send(message: MessageInitShape<typeof FromAgentSchema>): void {
    this.raw(encodeFrame(FRAME_CONTROL, {}, toBinary(FromAgentSchema, create(FromAgentSchema, message))));
  }

  data(stream: number, offset: number, text: string, flags = 0): void {
    this.raw(encodeFrame(FRAME_DATA, { stream, offset, flags }, Buffer.from(text)));
  }

  raw(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  #handle(frame: Frame): void {
    if (frame.type !== FRAME_CONTROL) {
      this.frames.push({ ...frame, payload: Buffer.from(frame.payload) });
      return;
    }
    const message = fromBinary(ToAgentSchema, frame.payload);
    if (message.call.case === 'hello') {
      const { nonce } = message.call.value;
      this.send({
        id: message.id,
        body: {
          case: 'welcome',
          value: { protocol: this.protocol, nonce, window: WINDOW, agentVersion: 'a\u001b[2J' },
        },
      });
      return;
    }
    this.calls.push(message);
    const answer = this.answer(message);
    if (answer === 'silence') return;
    if (answer && 'failed' in answer)
      this.send({ id: message.id, error: { code: answer.failed, message: 'no\u0007' } });
    else this.send({ id: message.id, body: answer as never });
  }
}

async function connected(callTimeoutMs = 2000) {
  const [ours, theirs] = duplexPair();
  const guest = new Guest(theirs);
  const agent = await connectAgent(ours, { handshakeTimeoutMs: 5000, callTimeoutMs });
  return { agent, guest };
}

function recorder() {
  const output: string[] = [];
  const sink: OutputSink = {
    data: (stream, chunk, end) => output.push(`${stream} ${Buffer.from(chunk)} ${end}`),
    end: (stream) => output.push(`${stream} end`),
  };
  return { output, sink };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test('a handshake survives garbage on the line, and texts of the guest are made safe', async () => {
  const [ours, theirs] = duplexPair();
  theirs.write(Buffer.from('left over from before, no frame at all'));
  new Guest(theirs);
  await using agent = await connectAgent(ours, { handshakeTimeoutMs: 5000, resync: true });
  assert.equal(agent.info.agentVersion, 'a\\x1b[2J');
});

test('another protocol version is refused, naming both', async () => {
  const [ours, theirs] = duplexPair();
  new Guest(theirs).protocol = 9;
  await assert.rejects(connectAgent(ours, { handshakeTimeoutMs: 5000 }), /protocol 9, this hyperd 1/);
});

test('a guest that does not answer the handshake is a timeout, and the stream is destroyed', async () => {
  const [ours, theirs] = duplexPair();
  theirs.resume();
  await assert.rejects(connectAgent(ours, { handshakeTimeoutMs: 50 }), (error) =>
    isHyperError(error, 'timeout'),
  );
  assert.equal(ours.destroyed, true);
});

test('calls that are not answered time out; the connection goes on', async () => {
  const { agent, guest } = await connected(50);
  guest.answer = () => 'silence';
  await assert.rejects(agent.setClock(), (error) => isHyperError(error, 'timeout'));
  guest.answer = () => ({ case: 'done', value: {} });
  await agent.setClock();
});

test('a time that was long on its way is sent anew, for a new machine as for one that has slept', async () => {
  const { agent, guest } = await connected(10_000);
  const late = (slowCalls: number): void => {
    guest.answer = ({ id }) => {
      if (slowCalls-- <= 0) return { case: 'done', value: {} };
      setTimeout(() => guest.send({ id, body: { case: 'done', value: {} } }), 600);
      return 'silence';
    };
  };
  late(1);
  await agent.configure({ hostname: 'h', machineId: '0'.repeat(32) });
  late(1);
  await agent.setClock();
  late(9); // a host that never gets quicker has to do
  await agent.setClock();
  const names = guest.calls.map(({ call }) => call.case);
  assert.deepEqual(names, ['configure', ...Array.from({ length: 6 }, () => 'setClock')]);
  const times = guest.calls.map(({ call }) => (call.case === 'setClock' ? call.value.realtimeNs : 0n));
  assert.ok((times[3] ?? 0n) - (times[2] ?? 0n) > 500_000_000n);
});

for (const [failed, code] of [
  [Error_Code.NOT_FOUND, 'not-found'],
  [Error_Code.PRECONDITION, 'precondition'],
  [Error_Code.SYSTEM, 'machine'],
  [99 as Error_Code, 'machine'],
] as const) {
  test(`error code ${failed} of the guest is ${code}`, async () => {
    const { agent, guest } = await connected();
    guest.answer = () => ({ failed });
    await assert.rejects(
      agent.setClock(),
      (error) => isHyperError(error, code) && error.message === 'no\\x07',
    );
  });
}

test('a command that is not there is a CommandError with 127', async () => {
  const { agent, guest } = await connected();
  guest.answer = () => ({ failed: Error_Code.COMMAND_NOT_FOUND });
  await assert.rejects(
    agent.startProcess('c', spec, recorder().sink),
    (error) => error instanceof CommandError && error.exitCode === 127,
  );
});

async function started() {
  const { agent, guest } = await connected();
  guest.answer = () => ({ case: 'processStarted', value: { pid: 1 } });
  const { output, sink } = recorder();
  const process = await agent.startProcess('c', spec, sink);
  return { agent, guest, output, process };
}

test('output arrives in order with offsets, what comes twice is cut off, ends are told once', async () => {
  const { guest, output } = await started();
  guest.data(29, 0, 'hello');
  guest.data(29, 3, 'lo world');
  guest.data(30, 0, 'err', FLAG_EOF);
  guest.data(30, 3, '', FLAG_EOF);
  await settled();
  assert.deepEqual(output, ['stdout hello 5', 'stdout  world 11', 'stderr err 3', 'stderr end']);
});

test('acknowledgements are sent together, with the highest offset, be they for little or for much of the window', async () => {
  const { guest, process } = await started();
  const sent = () =>
    guest.frames.filter(({ type }) => type === FRAME_ACK).map(({ stream, offset }) => [stream, offset]);
  guest.data(29, 0, 'x'.repeat(2000));
  await settled();
  for (const offset of [1, 3, 6]) process.acknowledge('stdout', offset);
  while (sent().length === 0) await settled();
  assert.deepEqual(sent(), [[29, 6]]);
  for (const offset of [7, 1100, 1200]) process.acknowledge('stdout', offset);
  while (sent().length === 1) await settled();
  assert.deepEqual(sent().at(-1), [29, 1200]);
  assert.equal(sent().length, 2);
});

for (const [what, offset, length] of [
  ['leaves a gap', 1, 1],
  ['sends more than the window', 0, WINDOW + 1],
] as const) {
  test(`a guest that ${what} loses its connection, with the reason`, async () => {
    const { agent, guest, process } = await started();
    guest.data(29, offset, 'x'.repeat(length));
    const reason = await agent.closed;
    assert.ok(isHyperError(reason, 'machine'));
    assert.match(reason.message, /unacknowledged/);
    await assert.rejects(process.exited);
  });
}

test('stdin waits for the window, goes on when the guest has taken some, and ends once', async () => {
  const { guest, process } = await started();
  const written = process.writeStdin(Buffer.alloc(WINDOW + 10, 'a'));
  await settled();
  const sent = () =>
    guest.frames
      .filter(({ type }) => type === FRAME_DATA)
      .reduce((sum, { payload }) => sum + payload.length, 0);
  assert.equal(sent(), WINDOW);
  guest.raw(encodeFrame(FRAME_ACK, { stream: 28, offset: 100 }));
  await written;
  process.endStdin();
  process.endStdin();
  await settled();
  assert.equal(sent(), WINDOW + 10);
  assert.equal(guest.frames.filter(({ type, flags }) => type === FRAME_DATA && flags === FLAG_EOF).length, 1);
});

test('a process is adopted where the log ends, and its exit is known', async () => {
  const { agent, guest } = await connected();
  guest.answer = () => ({
    case: 'processList',
    value: {
      processes: [
        {
          id: 3,
          containerId: 'c',
          init: true,
          exited: true,
          exitCode: 9,
          stdoutStart: 10n,
          stdoutEnd: 30n,
          stderrStart: 0n,
          stderrEnd: 0n,
        },
      ],
    },
  });
  const [state] = await agent.listProcesses();
  assert.ok(state);
  const { output, sink } = recorder();
  const process = await agent.adoptProcess(state, { stdout: 20, stderr: 0 }, sink);
  assert.equal((await process.exited).exitCode, 9);
  await settled();
  assert.deepEqual(
    guest.frames.map(({ type, flags, stream, offset }) => [type, flags, stream, offset]),
    [
      [FRAME_ACK, FLAG_RESUME, 13, 20],
      [FRAME_ACK, FLAG_RESUME, 14, 0],
    ],
  );
  guest.data(13, 20, '0123456789', FLAG_EOF);
  await settled();
  assert.deepEqual(output, ['stdout 0123456789 30', 'stdout end']);
});

test('nonsense from the guest never throws out of the connection', async () => {
  const { agent, guest } = await started();
  guest.data(4_000_000_001, 0, 'nobody');
  guest.raw(encodeFrame(FRAME_ACK, { stream: 999, offset: Number.MAX_SAFE_INTEGER }));
  guest.send({ id: 424242, body: { case: 'done', value: {} } });
  guest.send({ body: { case: 'processExited', value: { processId: 12345 } } });
  await settled();
  guest.raw(encodeFrame(FRAME_CONTROL, {}, Buffer.from([0xff, 0xff, 0xff])));
  assert.ok(isHyperError(await agent.closed, 'machine'));
});
