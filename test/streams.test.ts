import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Session } from '../packages/client/src/index.ts';
import { eventually } from './support/daemon.ts';
import { RestSession } from './support/rest.ts';
import { sharedClient, sharedDaemon } from './support/shared.ts';

/** How much goes through attach: little enough for a busy machine; more is asked for by hand. */
const FLOOD_MB = Number(process.env.FLOOD_MB ?? 100);

const daemon = sharedDaemon();
const client = sharedClient(daemon);

/** A pod of one container of that name, which waits for its start. */
async function makePod(name: string, command: readonly string[], more: object = {}): Promise<void> {
  await client.createPod({ id: name, containers: [{ name, image: 'busybox', command, ...more }] });
}

async function textOf({ output }: Session): Promise<string> {
  let text = '';
  for await (const { bytes } of output) text += Buffer.from(bytes).toString('latin1');
  return text;
}

/** Everything of a session that types something once it has read what it waits for. */
async function answering({ output, input }: Session, wanted: RegExp, answer: string): Promise<string> {
  let text = '';
  let isAnswered = false;
  for await (const { bytes } of output) {
    text += Buffer.from(bytes).toString('latin1');
    if (!isAnswered && wanted.test(text)) isAnswered = input.write(answer) || true;
  }
  return text;
}

async function exec(container: string, command: readonly string[], tty = false): Promise<Session> {
  return client.startExec(container, await client.createExec(container, command, { tty }), { tty });
}

test('exec: the end of stdin is that of the process, which goes on writing; with a terminal output is raw', async () => {
  await makePod('execs', ['sleep', '1000']);
  await client.startPod('execs');
  const piped = await exec('execs', ['sh', '-c', 'cat; sleep 0.3; echo end >&2']);
  piped.input.end('typed\n');
  const chunks: string[] = [];
  for await (const { stream, bytes } of piped.output) chunks.push(`${stream}:${Buffer.from(bytes)}`);
  assert.deepEqual(chunks, ['stdout:typed\n', 'stderr:end\n']);

  const terminal = await exec(
    'execs',
    ['sh', '-c', 'test -t 0 && stty size; read line; echo "<$line>"'],
    true,
  );
  const said = await answering(terminal, /24 80\r\n/, 'hello\n');
  assert.equal(said, '24 80\r\nhello\r\n<hello>\r\n');
});

test('detach keys leave a terminal running, whose next client sees what comes then; other clients stay', async () => {
  await makePod('keys', ['sh', '-c', 'while read line; do echo "got $line"; done'], { tty: true });
  const watcher = await client.attach('keys', { tty: true });
  const seen = textOf(watcher);
  await client.startPod('keys');
  const leaving = await client.attach('keys', { tty: true });
  leaving.input.write('one\n');
  assert.match(await answering(leaving, /got one\r\n/, '\x10\x11'), /got one\r\n$/);
  const next = await client.attach('keys', { tty: true });
  next.input.write('two\n\x04');
  assert.match(await textOf(next), /got two\r\n/);
  assert.match(await seen, /got one\r\n.*got two\r\n/s);
});

test('all clients that are attached see the same, in the same order, and all are let go at the end', async () => {
  await makePod('many', [
    'sh',
    '-c',
    'read go; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo $i; done; exit 4',
  ]);
  const sessions = await Promise.all(Array.from({ length: 5 }, () => client.attach('many', { tty: false })));
  const texts = Promise.all(sessions.map(textOf));
  await client.startPod('many');
  sessions[2]?.input.end('go\n');
  const expected = Array.from({ length: 2000 }, (_, i) => `${i + 1}\n`).join('');
  for (const text of await texts) assert.equal(text, expected);
  assert.equal(await client.wait('many'), 4);
});

test('a client that does not read holds up its own process, not its neighbours, nor calls', async () => {
  await client.createPod({
    id: 'stuck',
    containers: [
      {
        name: 'stuck-a',
        image: 'busybox',
        command: ['sh', '-c', 'yes | head -c 3000000; echo done > /done; sleep 1000'],
      },
      { name: 'stuck-b', image: 'busybox', command: ['sleep', '1000'] },
    ],
  });
  const silent = new RestSession(daemon.socket, '/attach?container=stuck-a');
  silent.socket.pause();
  await client.startPod('stuck');
  const other = await exec('stuck-b', ['sh', '-c', 'yes | head -c 500000 | md5sum']);
  assert.match(await textOf(other), /^[0-9a-f]{32} /);
  const isDone = async () => (await textOf(await exec('stuck-a', ['cat', '/done']))) === 'done\n';
  assert.equal(await isDone(), false, 'nobody takes its output');
  silent.socket.resume();
  await eventually('it goes on when its client reads', isDone);
  silent.socket.destroy();
});

test('connections are closed when the process ends, whatever the client does; nothing stays open', async () => {
  await makePod('ends', ['sh', '-c', 'sleep 0.5; echo last']);
  const open = (): number => readdirSync(`/proc/${daemon.process.pid}/fd`).length;
  const before = open();
  const sessions = Array.from(
    { length: 20 },
    () => new RestSession(daemon.socket, '/attach?container=ends', ['Connection: Upgrade', 'Upgrade: tcp']),
  );
  await Promise.all(sessions.map((session) => session.until(/101 UPGRADED/)));
  await client.startPod('ends');
  for (const session of sessions) assert.match(await session.all(), /last\n$/);
  for (const { socket } of sessions) socket.destroy();
  await eventually('the daemon has closed them', () => open() <= before);
});

test('what an exec writes comes whole: 60 MB of bytes, the same that the container has', async () => {
  await makePod('flood', ['sleep', '1000']);
  await client.startPod('flood');
  const make = 'for i in 1 2 3 4 5 6 7 8 9 10; do cat /bin/busybox; done > /big';
  await textOf(await exec('flood', ['sh', '-c', make]));
  const sum = createHash('md5');
  const session = await exec('flood', ['sh', '-c', 'cat /big /big /big /big']);
  let length = 0;
  for await (const { bytes } of session.output) {
    sum.update(bytes);
    length += bytes.length;
  }
  const expected = await textOf(await exec('flood', ['sh', '-c', 'cat /big /big /big /big | md5sum']));
  assert.ok(length > 50_000_000);
  assert.equal(sum.digest('hex'), expected.slice(0, 32));
});

test(`attach at full speed: ${FLOOD_MB} MB come whole, and the daemon holds little of them, though another process has a client that does not read`, async (context) => {
  const line = `${'0123456789abcdef'.repeat(7)}0123456789\n`;
  const block = Math.ceil(2 ** 20 / line.length);
  const times = Math.ceil((FLOOD_MB * 2 ** 20) / (block * line.length));
  // What the host can check without the guest: a file of many lines, so many times. The log is bounded.
  const script = `read go; yes ${line.trim()} | head -n ${block} > /block; i=0; while [ $i -lt ${times} ]; do cat /block; i=$((i+1)); done`;
  const log = { type: 'json-file', config: { 'max-size': '1m', 'max-file': '2' } };
  await client.createPod({
    ...{ id: 'full', log },
    containers: [
      { name: 'full', image: 'busybox', command: ['sh', '-c', script] },
      { name: 'unread', image: 'busybox', command: ['yes'] },
    ],
  });
  const unread = new RestSession(daemon.socket, '/attach?container=unread');
  unread.socket.pause();
  const session = await client.attach('full', { tty: false });
  await client.startPod('full');
  const before = memoryMib();
  let most = before;
  const watching = setInterval(() => {
    most = Math.max(most, memoryMib());
  }, 100);
  const sum = createHash('sha1');
  let length = 0;
  session.input.end('go\n');
  for await (const { bytes } of session.output) {
    sum.update(bytes);
    length += bytes.length;
  }
  clearInterval(watching);
  unread.socket.destroy();
  const expected = createHash('sha1');
  const text = line.repeat(block);
  for (let i = 0; i < times; i++) expected.update(text);
  assert.equal(length, times * text.length);
  assert.equal(sum.digest('hex'), expected.digest('hex'));
  context.diagnostic(`the daemon had ${before} MiB, and at most ${most}`);
  assert.ok(most - before < 64, `the daemon grew from ${before} to ${most} MiB`);
  await client.removePod('full');
});

/** What the daemon has in memory. */
function memoryMib(): number {
  const status = readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8');
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024);
}

test('logs: rotation keeps so many files, a follower sees all over it, and ends with the container', async () => {
  await client.createPod({
    id: 'rotates',
    log: { type: 'json-file', config: { 'max-size': '20k', 'max-file': '4' } },
    containers: [
      {
        ...{ name: 'rotates', image: 'busybox' },
        command: ['sh', '-c', 'read go; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done'],
      },
    ],
  });
  await client.startPod('rotates');
  const numbers: number[] = [];
  const following = (async () => {
    for await (const { bytes } of client.logs('rotates', { tty: false, follow: true }))
      for (const line of Buffer.from(bytes).toString().trim().split('\n')) numbers.push(Number(line));
  })();
  const attached = await client.attach('rotates', { tty: false });
  attached.input.end('go\n');
  await textOf(attached);
  await following;
  // What was put away before the follower came to it is gone; from where it begins to the end nothing is missing.
  assert.equal(numbers.at(-1), 3000);
  assert.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, i) => 3001 - numbers.length + i),
  );
  const folder = `${daemon.root}/pods/rotates`;
  const files = readdirSync(folder).filter((name) => name.includes('-json.log'));
  assert.equal(files.length, 4);
  for (const file of files)
    for (const line of readFileSync(`${folder}/${file}`, 'utf8').trimEnd().split('\n')) JSON.parse(line);
  const again: string[] = [];
  for await (const { bytes } of client.logs('rotates', { tty: false, follow: true, tail: 2 }))
    again.push(Buffer.from(bytes).toString());
  assert.equal(again.join(''), '2999\n3000\n', 'following one that has ended ends');
});

test('hyperctl logs chooses streams and lines, and says of a container without a log that it has none', async () => {
  await makePod('talks', ['sh', '-c', 'echo out; echo err >&2; echo more']);
  await client.startPod('talks');
  await client.wait('talks');
  const both = await daemon.hyperctl(['logs', 'talks']);
  assert.deepEqual([both.stdout, both.stderr], ['out\nmore\n', 'err\n']);
  const late = await daemon.hyperctl(['logs', '--since', '2100-01-01', 'talks']);
  assert.equal(late.stdout + late.stderr, '');
  await client.createPod({
    ...{ id: 'silent', log: { type: 'none' } },
    containers: [{ name: 'silent', image: 'busybox', command: ['echo', 'unheard'] }],
  });
  const attached = await client.attach('silent', { tty: false });
  await client.startPod('silent');
  assert.equal(await textOf(attached), 'unheard\n');
  const none = await daemon.hyperctl(['logs', 'silent']);
  assert.notEqual(none.code, 0);
  assert.match(none.stderr, /container silent: logger not support read/);
});
