// From a fresh clone to a container's output out of a virtual machine, and a daemon that is left running.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setUp } from './setup.mjs';
import { REPOSITORY } from './steps.mjs';

const START_TIMEOUT_MS = 60_000;
const uid = process.getuid();
// As packages/client/src/default-host.ts and the daemon's configuration have them.
const root =
  uid === 0 ? '/var/lib/hyper' : join(process.env.XDG_DATA_HOME || join(homedir(), '.local/share'), 'hyper');
const socket = join(
  uid === 0 ? '/var/run' : process.env.XDG_RUNTIME_DIR || `/tmp/hyper-${uid}`,
  'hyper.sock',
);
const GREETING = 'echo "Hello from a container in a virtual machine. Its kernel:"; uname -a';

async function main() {
  await setUp();
  const log = join(root, 'hyperd.log');
  if (await answers()) console.log(`hyperd answers already on ${socket}`);
  else await startDaemon(log);
  console.log('\n$ ./bin/hyperctl run --rm busybox sh -c ...');
  const startedAt = Date.now();
  const { status } = hyperctl(['run', '--rm', 'busybox', 'sh', '-c', GREETING]);
  if (status !== 0) throw new Error(`the container ended with ${status}; the daemon's log is ${log}`);
  console.log(
    `(${Date.now() - startedAt} ms; the host's kernel: ${readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()})`,
  );
  const pid = existsSync(join(root, 'hyperd.pid'))
    ? readFileSync(join(root, 'hyperd.pid'), 'utf8').trim()
    : 'its pid';
  console.log(`
hyperd is running; its socket is ${socket}, its log ${log}. Try:

  ./bin/hyperctl run -t --rm busybox sh          # a shell in a machine of its own
  ./bin/hyperctl run -d --name web busybox sleep 1000
  ./bin/hyperctl exec web ps
  ./bin/hyperctl list
  ./bin/hyperctl rm web
  ./bin/hyperctl --help

To stop the daemon: kill ${pid} (running pods go on until they are removed)`);
}

function hyperctl(args) {
  const env = { ...process.env, HYPER_HOST: `unix://${socket}` };
  return spawnSync(join(REPOSITORY, 'bin/hyperctl'), args, { stdio: ['ignore', 'inherit', 'inherit'], env });
}

async function startDaemon(log) {
  mkdirSync(root, { recursive: true, mode: 0o711 });
  mkdirSync(dirname(socket), { recursive: true, mode: 0o700 });
  console.log(`start hyperd (root ${root}, log ${log})`);
  const out = openSync(log, 'a', 0o600);
  const child = spawn(join(REPOSITORY, 'bin/hyperd'), ['--root', root, '--host', `unix://${socket}`], {
    ...{ detached: true, stdio: ['ignore', out, out], cwd: '/' },
  });
  closeSync(out);
  let ended;
  child.once('exit', (code) => {
    ended = code;
  });
  child.unref();
  writeFileSync(join(root, 'hyperd.pid'), `${child.pid}\n`);
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await answers())) {
    if (ended !== undefined || Date.now() > deadline) {
      const tail = readFileSync(log, 'utf8').trim().split('\n').slice(-10).join('\n');
      throw new Error(`hyperd does not answer on ${socket}; the end of its log:\n${tail}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function answers() {
  return new Promise((resolve) => {
    const call = request({ socketPath: socket, path: '/_ping', timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.on('error', () => resolve(false));
    call.on('timeout', () => call.destroy());
    call.end();
  });
}

try {
  await main();
} catch (error) {
  console.error(`quickstart: ${error.message}`);
  process.exitCode = 1;
}
