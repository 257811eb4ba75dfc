// What is asked of pods that are there: exec, output, lists. Commands are whole processes; "API" is the calls alone, on open connections.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { timed } from './processes.mjs';
import { HYPERCTL, tryRun } from './surroundings.mjs';

const IMAGE = 'bench/busybox';
const STOPPED_PODS = 1000;
const OUTPUT_MB = 200;

export const name = 'pods';

export async function* cases({ directory, docker, hyper }) {
  const quiet = (env) => ({ env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  makeImage(directory, docker, hyper, quiet);
  execFileSync('docker', ['run', '-d', '--name', 'bench', IMAGE, 'sleep', '100000'], quiet(docker));
  execFileSync(HYPERCTL, ['run', '-d', '--name', 'bench', IMAGE, 'sleep', '100000'], quiet(hyper));
  yield {
    title: 'exec true: whole command',
    ours: () => timed(HYPERCTL, ['exec', 'bench', 'true'], hyper),
    peer: () => timed('docker', ['exec', 'bench', 'true'], docker),
    figure: ({ whole }) => whole,
  };
  yield {
    title: 'exec true: API',
    ours: () => took(() => hyperExec(socketOf(hyper.HYPER_HOST))),
    peer: () => took(() => dockerExec(socketOf(docker.DOCKER_HOST))),
    figure: (ms) => ms,
  };
  for (const [title, script] of [
    ['zeros', `dd if=/dev/zero bs=64k count=${OUTPUT_MB * 16} 2>/dev/null`],
    ['text', `yes "${'x'.repeat(99)}" | head -c 10485760 > /t; cat${' /t'.repeat(OUTPUT_MB / 10)}`],
  ]) {
    const args = ['run', '--rm', IMAGE, 'sh', '-c', script];
    yield {
      title: `run: ${OUTPUT_MB} MB of ${title}`,
      ours: () => timed(HYPERCTL, args, hyper),
      peer: () => timed('docker', args, docker),
      figure: ({ whole }) => whole,
    };
  }
  await tryRun(HYPERCTL, ['rm', 'bench'], hyper);
  await tryRun('docker', ['rm', '-f', 'bench'], docker);
  const socket = socketOf(hyper.HYPER_HOST);
  for (let number = 0; number < STOPPED_PODS; number++) {
    const pod = { id: `stopped-${number}`, containers: [{ image: IMAGE, command: ['true'] }] };
    await call(socket, 'POST', '/pod/create', JSON.stringify(pod));
  }
  yield {
    title: `list of ${STOPPED_PODS} stopped pods`,
    ours: () => took(() => call(socket, 'GET', '/list?item=pod')),
    figure: (ms) => ms,
  };
}

/** The busybox that the tests use, for both. */
function makeImage(directory, docker, hyper, quiet) {
  const tree = `${directory}/busybox.tar`;
  const script =
    'mkdir -p bin tmp && cp /bin/busybox bin/ && for c in sh true sleep dd yes head cat; do ln -s busybox bin/$c; done && tar -cf "$1" bin tmp';
  const work = `${directory}/busybox`;
  execFileSync('mkdir', [work]);
  execFileSync('sh', ['-c', script, 'sh', tree], { cwd: work });
  execFileSync('docker', ['import', tree, IMAGE], quiet(docker));
  const archive = `${directory}/busybox-image.tar`;
  execFileSync('docker', ['save', '-o', archive, IMAGE], quiet(docker));
  execFileSync(HYPERCTL, ['load', '-i', archive], quiet(hyper));
}

const socketOf = (url) => url.replace('unix://', '');

async function took(work) {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

async function hyperExec(socket) {
  const id = await call(socket, 'POST', '/exec/create?container=bench&command=["true"]');
  await session(socket, `/exec/start?container=bench&exec=${id}`);
  const code = await call(socket, 'GET', `/exitcode?container=bench&exec=${id}`);
  if (code !== 0) throw new Error(`exec ended with ${code}`);
}

async function dockerExec(socket) {
  const options = { AttachStdin: true, AttachStdout: true, AttachStderr: true, Cmd: ['true'] };
  const { Id } = await call(socket, 'POST', '/containers/bench/exec', JSON.stringify(options));
  await session(socket, `/exec/${Id}/start`, '{"Detach":false,"Tty":false}');
  const { ExitCode } = await call(socket, 'GET', `/exec/${Id}/json`);
  if (ExitCode !== 0) throw new Error(`exec ended with ${ExitCode}`);
}

function call(socketPath, method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
    const sent = request({ socketPath, method, path, headers }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      if (response.statusCode >= 400) reject(new Error(text));
      else resolve(JSON.parse(text));
    });
    sent.once('error', reject).end(body);
  });
}

/** Takes a connection over, and reads it to its end. */
async function session(socketPath, path, body = '') {
  const headers = { Connection: 'Upgrade', Upgrade: 'tcp', 'Content-Type': 'application/json' };
  const sent = request({ socketPath, method: 'POST', path, headers, agent: false });
  sent.end(body);
  const [, socket] = await once(sent, 'upgrade');
  socket.resume().end();
  await once(socket, 'close');
}
