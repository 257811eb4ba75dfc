import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isHyperError } from '../../errors.ts';
import { connectQmp, connectUnix } from './qmp.ts';

/** A QEMU that says what the test wants; hands out its end of the connection. */
async function scripted(answer: (command: string, id: number, socket: Socket) => void) {
  const directory = mkdtempSync(join(tmpdir(), 'qmp-'));
  const path = join(directory, 'q.sock');
  let peer: Socket | undefined;
  const server = createServer((socket) => {
    peer = socket;
    socket.on('error', () => socket.destroy());
    socket.write('{"QMP": {"version": {}}}\r\n');
    socket.on('data', (data) => {
      for (const line of data.toString().trim().split('\n')) {
        const { execute, id } = JSON.parse(line) as { execute: string; id: number };
        if (execute === 'qmp_capabilities') socket.write(`{"return": {}, "id": ${id}}\r\n`);
        else answer(execute, id, socket);
      }
    });
  }).listen(path);
  await once(server, 'listening');
  const qmp = await connectQmp(path, 1000, () => true);
  return {
    qmp,
    say: (text: string) => peer?.write(text),
    [Symbol.dispose]() {
      qmp.close();
      peer?.destroy();
      server.close();
      rmSync(directory, { recursive: true });
    },
  };
}

test('answers find their commands, whatever their order, and errors carry their text', async () => {
  const ids: number[] = [];
  using qemu = await scripted((command, id, socket) => {
    if (command === 'bad')
      socket.write(`{"error": {"class": "X", "desc": "no such \\u001b thing"}, "id": ${id}}\n`);
    else if (ids.push(id) === 2)
      for (const each of ids.reverse()) socket.write(`{"return": ${each}, "id": ${each}}\n`);
  });
  const [first, second] = await Promise.all([qemu.qmp.execute('one'), qemu.qmp.execute('two')]);
  assert.ok((first as number) < (second as number));
  await assert.rejects(qemu.qmp.execute('bad'), /QMP bad: no such \\x1b thing/);
});

test('a command without an answer is a timeout', async () => {
  using qemu = await scripted(() => undefined);
  await assert.rejects(qemu.qmp.execute('slow', {}, 30), (error) => isHyperError(error, 'timeout'));
});

test('an event is found that comes in pieces', async () => {
  using qemu = await scripted(() => undefined);
  const event = qemu.qmp.event(({ event }) => event === 'SHUTDOWN');
  qemu.say('{"event": "OTHER"}\n{"event": "SHUT');
  qemu.say('DOWN", "data": {"reason": "x"}}\n');
  assert.deepEqual((await event).data, { reason: 'x' });
});

for (const [what, text] of [
  ['no JSON', 'nonsense\n'],
  ['a line without end', 'x'.repeat(1024 * 1024 + 10)],
] as const) {
  test(`${what} ends the connection and what waits on it`, async () => {
    using qemu = await scripted((_, __, socket) => socket.write(text));
    await assert.rejects(qemu.qmp.execute('x'), (error) => isHyperError(error, 'machine'));
    await qemu.qmp.closed;
  });
}

test('waiting for a socket stops when QEMU is dead', async () => {
  await assert.rejects(
    connectUnix('/nonexistent/q.sock', 60_000, () => false),
    /QEMU ended at its start/,
  );
});

test("a link to another machine's socket is not followed, nor is anything else taken for one", async () => {
  const directory = mkdtempSync(join(tmpdir(), 'qmp-'));
  const server = createServer().listen(join(directory, 'other.sock'));
  await once(server, 'listening');
  try {
    symlinkSync('other.sock', join(directory, 'link.sock'));
    writeFileSync(join(directory, 'file.sock'), '');
    for (const name of ['link.sock', 'file.sock'])
      await assert.rejects(
        connectUnix(join(directory, name), 1000, () => true),
        /it is no socket/,
      );
    (await connectUnix(join(directory, 'other.sock'), 1000, () => true)).destroy();
  } finally {
    server.close();
    rmSync(directory, { recursive: true });
  }
});
