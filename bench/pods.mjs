// What is asked of pods that are there: exec, output, lists. Commands are whole processes; "API" is the calls alone, on open connections.
import { execFileSync } from 'node:child_process';
import { call, removePods, session, socketOf, took } from './api.mjs';
import { haveBusybox, BUSYBOX as IMAGE } from './images-for-both.mjs';
import { timed } from './processes.mjs';
import { HYPERCTL, tryRun } from './surroundings.mjs';

const STOPPED_PODS = 1000;
const OUTPUT_MB = 200;

export const name = 'pods';
export const summary = 'exec, output, lists';

export async function* cases(surroundings) {
  const { docker, hyper } = surroundings;
  const quiet = (env) => ({ env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  haveBusybox(surroundings);
  execFileSync('docker', ['run', '-d', '--name', 'bench', IMAGE, 'sleep', '100000'], quiet(docker));
  execFileSync(HYPERCTL, ['run', '-d', '--name', 'bench', IMAGE, 'sleep', '100000'], quiet(hyper));
  yield {
    title: 'exec true: whole command',
    ours: () => timed(HYPERCTL, ['exec', 'bench', 'true'], hyper),
    peer: () => timed('docker', ['exec', 'bench', 'true'], docker),
    figure: ({ whole }) => whole,
    aims: [{ atMost: 0.3, of: 'peer' }],
  };
  yield {
    title: 'exec true: API',
    ours: () => took(() => hyperExec(socketOf(hyper.HYPER_HOST))),
    peer: () => took(() => dockerExec(socketOf(docker.DOCKER_HOST))),
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
    await call(socket, 'POST', '/pod/create', pod);
  }
  yield {
    title: `list of ${STOPPED_PODS} stopped pods`,
    ours: () => took(() => call(socket, 'GET', '/list?item=pod')),
  };
  await removePods(socket);
}

async function hyperExec(socket) {
  const id = await call(socket, 'POST', '/exec/create?container=bench&command=["true"]');
  await (await session(socket, `/exec/start?container=bench&exec=${id}`)).ended;
  const code = await call(socket, 'GET', `/exitcode?container=bench&exec=${id}`);
  if (code !== 0) throw new Error(`exec ended with ${code}`);
}

async function dockerExec(socket) {
  const options = { AttachStdin: true, AttachStdout: true, AttachStderr: true, Cmd: ['true'] };
  const { Id } = await call(socket, 'POST', '/containers/bench/exec', options);
  await (await session(socket, `/exec/${Id}/start`, '{"Detach":false,"Tty":false}')).ended;
  const { ExitCode } = await call(socket, 'GET', `/exec/${Id}/json`);
  if (ExitCode !== 0) throw new Error(`exec ended with ${ExitCode}`);
}
