import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { isHyperError } from '../errors.ts';
import type { GuestAgent, ProcessSpec } from './agent.ts';
import { connectAgent } from './connection.ts';
import { encodeFrame, FRAME_ACK, FRAME_CONTROL, FRAME_DATA, FrameDecoder, type FrameType } from './frames.ts';
import { FromAgentSchema, ToAgentSchema } from './gen/agent_pb.js';

const MIB = 1024 * 1024;
const WINDOW = 64 * 1024;
const spec: ProcessSpec = {
  ...{ id: 7, args: ['x'], env: [], cwd: '/', user: '', additionalGroups: [], tty: false },
  ...{ rows: 0, columns: 0, noStdin: false, rlimits: [] },
};
const STDOUT = 7 * 4 + 1;
const nowhere = { data: () => undefined, end: () => undefined };

type Message<Schema extends typeof FromAgentSchema | typeof ToAgentSchema> = MessageInitShape<Schema>;
type Answer = (call: Message<typeof ToAgentSchema>['call']) => Message<typeof FromAgentSchema>['body'];

const doneAlways: Answer = () => ({ case: 'done', value: {} });

/** A guest that answers its calls as it should, and does whatever the test has it do besides. */
async function hostile({
  window = WINDOW,
  answer = doneAlways,
} = {}): Promise<{ agent: GuestAgent; guest: Duplex }> {
  const [ours, guest] = duplexPair();
  const decoder = new FrameDecoder();
  guest.on('data', (chunk: Buffer) => {
    for (const { type, payload } of decoder.push(chunk)) {
      if (type !== FRAME_CONTROL) continue;
      const { id, call } = fromBinary(ToAgentSchema, payload);
      const nonce = call.case === 'hello' ? call.value.nonce : undefined;
      guest.write(
        control(
          nonce === undefined
            ? { id, body: answer(call) }
            : { id, body: { case: 'welcome', value: { protocol: 1, nonce, window } } },
        ),
      );
    }
  });
  guest.on('error', () => undefined); // the daemon hangs up on it
  const agent = await connectAgent(ours, { handshakeTimeoutMs: 5_000, callTimeoutMs: 5_000 });
  return { agent, guest };
}

function control(message: MessageInitShape<typeof FromAgentSchema>): Buffer {
  return encodeFrame(FRAME_CONTROL, {}, toBinary(FromAgentSchema, create(FromAgentSchema, message)));
}

/** Sends `next()` again and again until the daemon hangs up, or `limitBytes` have been sent. */
async function flood(
  { agent, guest }: { readonly agent: GuestAgent; readonly guest: Duplex },
  next: () => Uint8Array,
  limitBytes: number,
): Promise<void> {
  let isOver = false;
  void agent.closed.then(() => {
    isOver = true;
  });
  for (let sent = 0; sent < limitBytes && !isOver; ) {
    const bytes = next();
    sent += Math.max(bytes.length, 256);
    if (!guest.write(bytes)) await new Promise((resolve) => setImmediate(resolve));
  }
}

const floods: Readonly<Record<string, () => Uint8Array>> = {
  'bytes that are no frames': () => randomBytes(65_536),
  'headers that promise much': () =>
    Buffer.concat(
      Array.from({ length: 2048 }, () => encodeFrame(FRAME_DATA, { stream: STDOUT }).subarray(0, 24)),
    ),
  'answers that nobody waits for': () => control({ id: 99_999, body: { case: 'done', value: {} } }),
  'welcomes again and again': () => control({ id: 1, body: { case: 'welcome', value: { protocol: 1 } } }),
  'output of a process that is not there': () =>
    encodeFrame(FRAME_DATA, { stream: 4001 }, Buffer.alloc(65_536)),
  'the same output over and over': () => encodeFrame(FRAME_DATA, { stream: STDOUT }, Buffer.alloc(1000)),
  'output of no bytes': () => encodeFrame(FRAME_DATA, { stream: STDOUT }),
  'acknowledgements of nothing': () => encodeFrame(FRAME_ACK, { stream: 28 }),
  'exits that were told before': () =>
    control({ id: 0, body: { case: 'processExited', value: { processId: 7 } } }),
};

for (const [what, next] of Object.entries(floods)) {
  test(`a guest that floods its connection with ${what} loses it, with the reason`, async () => {
    const { agent, guest } = await hostile();
    await agent.startProcess('', spec, nowhere);
    await flood({ agent, guest }, next, 64 * MIB);
    assert.match((await agent.closed).message, /the guest broke the protocol: it floods/);
    await assert.rejects(agent.setClock(), (error) => isHyperError(error, 'machine'));
  });
}

test('a guest with more processes than there can be loses its connection', async () => {
  const { agent } = await hostile({
    answer: (call) => {
      assert.equal(call?.case, 'listProcesses');
      const after = call.value.after ?? 0;
      const processes = Array.from({ length: 1000 }, (_, index) => ({ id: after + 1 + index }));
      return { case: 'processList', value: { processes, more: true } };
    },
  });
  await assert.rejects(agent.listProcesses(), /more than 8192/);
  assert.match((await agent.closed).message, /the guest broke the protocol: .*more than 8192/);
});

test('output that goes on after the exit of its process ends the connection', async () => {
  const { agent, guest } = await hostile();
  const process = await agent.startProcess('', spec, {
    ...nowhere,
    data: (stream, _chunk, end) => process.acknowledge(stream, end),
  });
  guest.write(control({ id: 0, body: { case: 'processExited', value: { processId: 7, exitCode: 0 } } }));
  await process.exited;
  let offset = 0;
  await flood(
    { agent, guest },
    () => {
      const frame = encodeFrame(FRAME_DATA, { stream: STDOUT, offset }, Buffer.alloc(16_384));
      offset += 16_384;
      return frame;
    },
    64 * MIB,
  );
  assert.match((await agent.closed).message, /more than \d+ bytes after its exit|expected .* unacknowledged/);
});

test('a window that would have us hold much is refused', async () => {
  await assert.rejects(hostile({ window: 64 * MIB }), /window of 67108864 bytes/);
});

test('a guest that takes nothing of what it is sent loses its connection before that fills our memory', async () => {
  const { agent, guest } = await hostile();
  guest.pause();
  guest.removeAllListeners('data');
  const calls = Array.from({ length: 4000 }, (_, index) =>
    agent.startProcess('', { ...spec, id: index + 8, env: [`A=${'x'.repeat(30_000)}`] }, nowhere),
  );
  const failed = await Promise.allSettled(calls);
  assert.ok(failed.every(({ status }) => status === 'rejected'));
  assert.match((await agent.closed).message, /it takes nothing of what it is sent/);
});

test('numbers and texts that cannot be do no harm', async () => {
  const { agent, guest } = await hostile();
  const process = await agent.startProcess('', spec, nowhere);
  guest.write(
    control({
      id: 0,
      body: {
        case: 'processExited',
        value: { processId: 7, exitCode: 2 ** 32 - 1, signal: 4_000_000, exitedAtNs: 2n ** 64n - 1n },
      },
    }),
  );
  const status = await process.exited;
  assert.deepEqual([status.exitCode, status.signal], [255, 0]);
  assert.equal(Number.isNaN(status.exitedAt.getTime()), false);
});

const anyFrame = fc.record({
  type: fc.constantFrom<FrameType>(FRAME_CONTROL, FRAME_DATA, FRAME_ACK),
  flags: fc.integer({ min: 0, max: 255 }),
  stream: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  offset: fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.constantFrom(2 ** 53, 2 ** 60, 0)),
  payload: fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(65_536))),
  cut: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(40) }),
});

test('whatever frames a guest sends: the connection stands, or ends with a reason; nothing else is thrown', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyFrame, { maxLength: 30 }), async (frames) => {
      const { agent, guest } = await hostile();
      let bytes = 0;
      const process = await agent.startProcess('', spec, {
        data: (stream, chunk, end) => {
          bytes += chunk.length;
          process.acknowledge(stream, end);
        },
        end: () => undefined,
      });
      for (const { type, flags, stream, offset, payload, cut } of frames) {
        const frame = encodeFrame(type, { flags, stream, offset }, type === FRAME_ACK ? undefined : payload);
        guest.write(frame.subarray(0, frame.length - cut));
      }
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(bytes <= frames.length * 65_536);
      const outcome = await Promise.race([
        agent.closed,
        agent.setClock().then(
          () => undefined,
          (error: unknown) => error,
        ),
      ]);
      assert.ok(outcome === undefined || isHyperError(outcome), String(outcome));
      await agent[Symbol.asyncDispose]();
    }),
    { numRuns: 300 },
  );
});
