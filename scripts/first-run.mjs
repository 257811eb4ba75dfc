// Starts hyperd where it would start by itself, unless it answers there, and runs a container. Part of the quick start.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultHost } from '../packages/client/src/default-host.ts';
import { parseHostUrl } from '../packages/client/src/host-url.ts';
import { loadConfig } from '../packages/hyperd/src/config/load-config.ts';
import { REPOSITORY } from './steps.mjs';

const START_TIMEOUT_MS = 60_000;
const RUN_TIMEOUT_MS = 180_000;
const PING_TIMEOUT_MS = 2_000;
const LOG_LINES = 10;
const GREETING = 'echo "Hello from a container in a virtual machine. Its kernel:"; uname -a';

async function main() {
  const surroundings = { env: process.env, uid: process.getuid(), guestDirectory: '/' };
  const { root, hosts } = loadConfig([], surroundings).config;
  const [host] = hosts;
  const log = join(root, 'hyperd.log');
  if (await answers(host)) console.log(`hyperd answers already on ${host}`);
  else await startDaemon(root, host, log);
  greet(host, log);
  const plain = host === defaultHost(process.env, process.getuid()) && !process.env.HYPER_HOST;
  console.log(`
hyperd is running on ${host}; its log is ${log}. Try:
${plain ? '' : `\n  export HYPER_HOST=${host}`}
  ./bin/hyperctl run -t --rm busybox sh          # a shell in a machine of its own
  ./bin/hyperctl run -d --name web busybox sleep 1000
  ./bin/hyperctl exec web ps
  ./bin/hyperctl list
  ./bin/hyperctl rm web
  ./bin/hyperctl --help

To stop the daemon: kill ${runningPid(root) ?? 'PID'} (running pods go on until they are removed)`);
}

function greet(host, log) {
  console.log(`\n$ ./bin/hyperctl run --rm busybox sh -c '${GREETING}'`);
  const startedAt = Date.now();
  const { status, signal } = spawnSync(
    join(REPOSITORY, 'bin/hyperctl'),
    ['-H', host, 'run', '--rm', 'busybox', 'sh', '-c', GREETING],
    { stdio: ['ignore', 'inherit', 'inherit'], timeout: RUN_TIMEOUT_MS },
  );
  if (status !== 0)
    throw new Error(`the container ended with ${signal ?? status}; the daemon's log is ${log}`);
  const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  console.log(`(${Date.now() - startedAt} ms; the host's kernel: ${release})`);
}

async function startDaemon(root, host, log) {
  mkdirSync(root, { recursive: true, mode: 0o711 });
  console.log(`start hyperd (root ${root}, log ${log})`);
  const out = openSync(log, 'a', 0o600);
  const child = spawn(join(REPOSITORY, 'bin/hyperd'), [], {
    ...{ detached: true, stdio: ['ignore', out, out], cwd: '/' },
  });
  closeSync(out);
  let ended;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = `it ended with ${code ?? signal}`;
  });
  child.unref();
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await answers(host))) {
    if (ended !== undefined || Date.now() > deadline) {
      const tail = readFileSync(log, 'utf8').trim().split('\n').slice(-LOG_LINES).join('\n');
      throw new Error(
        `hyperd does not answer on ${host} (${ended ?? 'no time left'}); its log ends:\n${tail}`,
      );
    }
    await sleep(50);
  }
  writeFileSync(pidFile(root), `${child.pid}\n`);
}

function answers(host) {
  return new Promise((resolve) => {
    const call = request({ ...parseHostUrl(host), path: '/_ping', timeout: PING_TIMEOUT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.on('error', () => resolve(false));
    call.on('timeout', () => call.destroy());
    call.end();
  });
}

function pidFile(root) {
  return join(root, 'hyperd.pid');
}

/** The daemon that a quick start has started, if it is the one that lives: a process id may have gone to another program. */
function runningPid(root) {
  if (!existsSync(pidFile(root))) return undefined;
  const pid = readFileSync(pidFile(root), 'utf8').trim();
  const commandLine = `/proc/${pid}/cmdline`;
  return existsSync(commandLine) && readFileSync(commandLine, 'utf8').includes('hyperd') ? pid : undefined;
}

try {
  await main();
} catch (error) {
  console.error(`quickstart: ${error.message}`);
  process.exitCode = 1;
}
