// Published ports beside Docker's: a large file and a small page by HTTP, from the same server program in either. BENCH_FILE_MIB is the file's size.
import { execFileSync } from 'node:child_process';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { took } from './api.mjs';
import { BUSYBOX, haveBusybox } from './images-for-both.mjs';
import { HYPERCTL, tryRun } from './surroundings.mjs';

const FILE_MIB = Number(process.env.BENCH_FILE_MIB ?? 128);
const [OURS, PEER] = [28_080, 28_081];
const REQUESTS = 100;
const CLIENTS = 8;
const READY_TIMEOUT_MS = 60_000;
/** The file is one great hole: no disk is measured. */
const SERVE = `mkdir /www && echo hello > /www/page && busybox truncate -s ${FILE_MIB}M /www/file && exec busybox httpd -f -p 80 -h /www`;

export const name = 'ports';
export const summary = 'a file and small pages by HTTP through a published port';

export async function* cases(surroundings) {
  const { docker, hyper } = surroundings;
  haveBusybox(surroundings);
  const run = (command, port, env) =>
    execFileSync(
      command,
      ['run', '-d', '--name', 'bench', '-p', `127.0.0.1:${port}:80`, BUSYBOX, 'sh', '-c', SERVE],
      { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] },
    );
  run('docker', PEER, docker);
  run(HYPERCTL, OURS, hyper);
  for (const port of [OURS, PEER]) await ready(port);
  for (const [title, work, rounds] of [
    [`file of ${FILE_MIB} MiB`, (port) => fetched(port, '/file'), 3],
    [`${REQUESTS} pages, one after the other`, (port) => pages(port, 1)],
    [`${REQUESTS} pages, ${CLIENTS} clients`, (port) => pages(port, CLIENTS)],
  ]) {
    yield {
      ...{ title, rounds },
      ours: () => took(() => work(OURS)),
      peer: () => took(() => work(PEER)),
    };
  }
  await tryRun(HYPERCTL, ['rm', 'bench'], hyper);
  await tryRun('docker', ['rm', '-f', 'bench'], docker);
}

/** Every request on a connection of its own. */
async function pages(port, clients) {
  let left = REQUESTS;
  const client = async () => {
    while (left-- > 0) await fetched(port, '/page');
  };
  await Promise.all(Array.from({ length: clients }, client));
}

function fetched(port, path) {
  return new Promise((resolve, reject) => {
    const sent = get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${path}: ${response.statusCode}`));
      response.once('error', reject).once('end', resolve).resume();
    });
    sent.once('error', reject);
  });
}

async function ready(port) {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      return await fetched(port, '/page');
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}
