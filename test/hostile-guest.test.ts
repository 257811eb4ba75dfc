import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { encodeFrame, FRAME_CONTROL, FRAME_DATA } from '../packages/hyperd/src/guest/frames.ts';
import { FromAgentSchema } from '../packages/hyperd/src/guest/gen/agent_pb.js';
import { eventually, startDaemon, type TestDaemon } from './support/daemon.ts';

/** What a daemon may come to hold more while it is attacked, in MiB. */
const MAX_GROWTH_MIB = 200;
/** The first process of a machine, and its stream. */
const STDOUT_OF_INIT = 1 * 4 + 1;

/** What a hostile guest sends again and again, once it is trusted. */
const attacks: Readonly<Record<string, () => Uint8Array>> = {
  garbage: () => randomBytes(65_536),
  window: () => encodeFrame(FRAME_DATA, { stream: STDOUT_OF_INIT, offset: 2 ** 40 }, Buffer.alloc(65_536)),
  answers: () =>
    encodeFrame(
      FRAME_CONTROL,
      {},
      toBinary(FromAgentSchema, create(FromAgentSchema, { id: 99_999, body: { case: 'done', value: {} } })),
    ),
  nonsense: () => encodeFrame(FRAME_CONTROL, {}, randomBytes(1000)),
};

let daemon: TestDaemon;
const servers: Server[] = [];
const sockets = new Set<Socket>();
before(async () => {
  daemon = await startDaemon();
});
after(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  await daemon[Symbol.asyncDispose]();
});

/** Puts itself between a machine's agent and the next daemon: lets the handshake pass, then attacks without an end. */
function comeBetween(machine: string, attack: () => Uint8Array): Promise<void> {
  const path = join(daemon.root, 'machines', machine, 'agent.sock');
  renameSync(path, `${path}.real`);
  const server = createServer((host) => {
    const guest = connect(`${path}.real`);
    for (const socket of [host, guest]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.once('close', () => sockets.delete(socket));
    }
    host.once('close', () => guest.destroy());
    guest.pipe(host, { end: false });
    host.pipe(guest);
    guest.once('data', () => setTimeout(() => void flood(host, attack), 500));
  });
  servers.push(server);
  return new Promise((resolve) => server.listen(path, resolve));
}

async function flood(host: Socket, attack: () => Uint8Array): Promise<void> {
  const gone = new Promise((resolve) => host.once('close', resolve));
  while (host.writable) {
    if (host.write(attack())) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([gone, new Promise((resolve) => host.once('drain', resolve))]);
  }
}

function residentMib(): number {
  const status = readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

test('guests that attack the daemon lose their machines, with a reason; nobody else notices', async () => {
  const names = ['bystander', ...Object.keys(attacks)];
  for (const name of names) {
    const script = 'i=0; while sleep 0.2; do echo $i; i=$((i+1)); done';
    const run = await daemon.hyperctl(['run', '-d', '--name', name, 'busybox', 'sh', '-c', script]);
    assert.equal(run.code, 0, run.stderr);
  }
  const list = (await daemon.hyperctl(['list'])).stdout;
  const machineOf = (name: string): string =>
    new RegExp(`^${name}\\s+\\S+\\s+(vm-\\S+)`, 'm').exec(list)?.[1] ?? assert.fail(list);
  await daemon.kill();
  for (const [name, attack] of Object.entries(attacks)) await comeBetween(machineOf(name), attack);
  await daemon.restart();
  const before = residentMib();
  await eventually('the attackers have failed', async () => {
    const { stdout } = await daemon.hyperctl(['list']);
    return Object.keys(attacks).every((name) => new RegExp(`^${name}\\s.*\\sfailed`, 'm').test(stdout));
  });
  assert.ok(residentMib() < before + MAX_GROWTH_MIB, `${before} MiB before, ${residentMib()} after`);
  for (const name of Object.keys(attacks)) {
    const { stdout } = await daemon.hyperctl(['inspect', name]);
    assert.match(stdout, /broke the protocol|guest sent bytes|agent connection/, name);
  }
  const exec = await daemon.hyperctl(['exec', 'bystander', 'echo', 'well']);
  assert.deepEqual([exec.code, exec.stdout], [0, 'well\n'], exec.stderr);
  const lines = (await daemon.hyperctl(['logs', 'bystander'])).stdout.trim().split('\n');
  assert.deepEqual(
    lines,
    lines.map((_, index) => String(index)),
  );
  assert.deepEqual(readdirSync(join(daemon.root, 'machines')), [machineOf('bystander')]);
});
