import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { encodeFrame, FRAME_CONTROL, FRAME_DATA } from '../packages/hyperd/src/guest/frames.ts';
import { FromAgentSchema } from '../packages/hyperd/src/guest/gen/agent_pb.js';
import { eventually } from './support/daemon.ts';
import { atEnd, sharedDaemon } from './support/shared.ts';

/** What a daemon may come to hold more while it is attacked, in MiB. */
const MAX_GROWTH_MIB = 200;
/** The first process of a machine, and its stream. */
const STDOUT_OF_INIT = 1 * 4 + 1;

interface Attack {
  /** What a hostile guest sends again and again, once it is trusted. */
  readonly bytes: () => Uint8Array;
  /** Why its machine is ended. */
  readonly reason: RegExp;
}

const attacks: Readonly<Record<string, Attack>> = {
  garbage: { bytes: () => randomBytes(65_536), reason: /^the guest broke the protocol: it floods/ },
  window: {
    bytes: () => encodeFrame(FRAME_DATA, { stream: STDOUT_OF_INIT, offset: 2 ** 40 }, Buffer.alloc(65_536)),
    reason: /^read stdout of process 1: guest sent bytes 1099511627776 to /,
  },
  answers: {
    bytes: () =>
      encodeFrame(
        FRAME_CONTROL,
        {},
        toBinary(FromAgentSchema, create(FromAgentSchema, { id: 99_999, body: { case: 'done', value: {} } })),
      ),
    reason: /^the guest broke the protocol: it floods/,
  },
  nonsense: {
    bytes: () => encodeFrame(FRAME_CONTROL, {}, Buffer.alloc(1000, 0xff)),
    reason: /^the guest broke the protocol: a message that is none: invalid varint$/,
  },
};

const daemon = sharedDaemon();
const servers: Server[] = [];
const sockets = new Set<Socket>();
atEnd(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
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
  for (const [name, { bytes }] of Object.entries(attacks)) await comeBetween(machineOf(name), bytes);
  await daemon.restart();
  const before = residentMib();
  await eventually('the attackers have failed', async () => {
    const { stdout } = await daemon.hyperctl(['list']);
    return Object.keys(attacks).every((name) => new RegExp(`^${name}\\s.*\\sfailed`, 'm').test(stdout));
  });
  assert.ok(residentMib() < before + MAX_GROWTH_MIB, `${before} MiB before, ${residentMib()} after`);
  for (const [name, { reason }] of Object.entries(attacks)) {
    const [pod] = JSON.parse((await daemon.hyperctl(['inspect', name])).stdout);
    assert.match(pod.status.message, reason, name);
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
