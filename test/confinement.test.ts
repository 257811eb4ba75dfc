import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { sharedDaemon } from './support/shared.ts';

const CONFINE = join(import.meta.dirname, '../build/host/confine');
const programs = ['/usr', '/lib', '/lib64', '/bin', '/etc/ld.so.cache'].flatMap((path) => ['-r', path]);

/** Runs a shell confined: its exit code and all that it said. */
function confined(options: readonly string[], script: string): string {
  const { stdout, stderr } = spawnSync(CONFINE, [...programs, ...options, '--', 'sh', '-c', script], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  return stdout + stderr;
}

const hasLandlock = confined([], 'cat /etc/passwd').includes('Permission denied');
const skip = hasLandlock ? false : 'the kernel has no Landlock';

const daemon = sharedDaemon();

test('what is confined reads and writes what it was told of, and nothing else', { skip }, () => {
  const { root } = daemon;
  assert.match(confined([], `cat ${root}/state.db; ls ${root}`), /Permission denied[\s\S]*Permission denied/);
  assert.equal(
    confined(
      ['-w', `${root}/builds`],
      `echo a > ${root}/builds/x && cat ${root}/builds/x && rm ${root}/builds/x`,
    ),
    'a\n',
  );
  assert.match(confined(['-r', `${root}/images`], `cat ${root}/images/oci-layout`), /imageLayoutVersion/);
  assert.match(
    confined(['-r', `${root}/images`], `echo x >> ${root}/images/oci-layout`),
    /Permission denied/,
  );
});

test('what is confined signals nobody, and has no privileges, whoever started it', () => {
  const script = `kill -0 ${process.pid}; grep -E "NoNewPrivs|Cap(Eff|Prm|Bnd)" /proc/self/status; ulimit -c`;
  const said = confined(['-r', '/proc'], script);
  if (hasLandlock) assert.match(said, /not permitted/i);
  assert.match(said, /NoNewPrivs:\s1/);
  assert.match(said, /CapPrm:\s0+\nCapEff:\s0+\n/);
  if (process.getuid?.() === 0) assert.match(said, /CapBnd:\s0+\n/);
  assert.match(said, /^0$/m);
});

test('a program that cannot be confined is not run', () => {
  const { status, stderr } = spawnSync(CONFINE, ['-f', '77', '--', 'true'], { encoding: 'utf8' });
  if (hasLandlock) assert.deepEqual([status, stderr.includes('77')], [126, true]);
  assert.equal(spawnSync(CONFINE, ['-x', '--', 'true']).status, 126);
  assert.equal(spawnSync(CONFINE, []).status, 126);
});

/** What QEMU says to each command of its monitor, as whoever has taken it over could ask. */
async function askQemu(socketPath: string, commands: readonly object[]): Promise<string[]> {
  const socket = connect(socketPath);
  const lines: string[] = [];
  socket.write('{"execute":"qmp_capabilities"}\n');
  for (const command of commands) socket.write(`${JSON.stringify(command)}\n`);
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    lines.splice(0, lines.length, ...text.split('\n').filter((line) => /"(return|error)"/.test(line)));
    if (lines.length > commands.length) break;
  }
  socket.destroy();
  return lines.slice(1);
}

const open = (filename: string, readOnly = true): object => ({
  execute: 'blockdev-add',
  arguments: {
    'node-name': `x${filename.length}${readOnly}`,
    driver: 'file',
    filename,
    'read-only': readOnly,
  },
});

test('a QEMU that was taken over reaches no other machine, no state of the daemon, and no template', {
  skip,
}, async () => {
  for (const name of ['taken', 'other']) {
    const run = await daemon.hyperctl(['run', '-d', '--name', name, 'busybox', 'sleep', '1000']);
    assert.equal(run.code, 0, run.stderr);
  }
  const list = (await daemon.hyperctl(['list'])).stdout;
  const machine = /^taken\s+\S+\s+(vm-\S+)/m.exec(list)?.[1] ?? assert.fail(list);
  const { root } = daemon;
  const pid = Number(readFileSync(join(root, 'machines', machine, 'qemu.pid'), 'utf8'));
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  assert.match(status, /CapEff:\s0+\n/);
  assert.match(status, /NoNewPrivs:\s1\n/);
  assert.match(status, /Seccomp:\s2\n/);
  const [template = ''] = readdirSync(join(root, 'templates'));
  const [blob = ''] = readdirSync(join(root, 'images/blobs/sha256'));
  await daemon.kill(); // the monitor takes one connection at a time
  const denied = [
    open('/etc/passwd'),
    open(join(root, 'state.db')),
    open(join(root, 'pods/other/scratch.img')),
    open(`${root}/templates/./${template}/memory`, false), // by its own name it is opened for reading: network-guard.c
    open(join(root, 'images/blobs/sha256', blob), false),
  ];
  const answers = await askQemu(join(root, 'machines', machine, 'qmp.sock'), [
    ...denied,
    open(join(root, 'images/blobs/sha256', blob)),
  ]);
  for (const answer of answers.slice(0, denied.length)) assert.match(answer, /Permission denied/);
  assert.match(answers.at(-1) ?? '', /"return"/);
  await daemon.restart();
  const exec = await daemon.hyperctl(['exec', 'taken', 'echo', 'still there']);
  assert.equal(exec.stdout, 'still there\n', exec.stderr);
});
