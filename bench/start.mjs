// How long until a container says something, from whatever the machine comes; ends and replacements of pods.
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { BUILD } from '../scripts/steps.mjs';
import { createPod, removePod, runPod, socketOf, startPod, took } from './api.mjs';
import { DEBIAN, haveDebian, imageIdOf, rootfsOf } from './images-for-both.mjs';
import { cpuSeconds } from './memory.mjs';
import { CLONE, forgetTemplates, POOL, poolFilled } from './policies.mjs';
import { timed } from './processes.mjs';
import { HYPERCTL, tryRun } from './surroundings.mjs';

export const name = 'start';
export const summary = 'first byte from the pool, by clone and by boot; whole commands; stop, replace';

const execFileAsync = promisify(execFile);
const ECHO = ['echo', 'hello'];
const SLOW_ROUNDS = 5;
/** A process that obeys its stop signal at once, as a server does. */
const OBEDIENT = ['sh', '-c', 'trap "exit 0" TERM; echo ready; while :; do sleep 100 & wait; done'];

export async function* cases(surroundings) {
  const { docker, hyper, hyperd } = surroundings;
  haveDebian(surroundings);
  const run = (command, env) => timed(command, ['run', '--rm', DEBIAN, ...ECHO], env);
  const byApi = () => firstByteOf(socketOf(hyper.HYPER_HOST));
  const byDocker = async () => (await run('docker', docker)).firstByte;
  await hyperd.configure(POOL);
  await byApi(); // makes the root file system that the floor is measured with
  await using floor = await openFloor(surroundings);
  const image = imageIdOf(DEBIAN, docker);
  const filled = { ours: () => poolFilled(hyper, image) };
  yield {
    ...{ title: 'first byte, from the pool', before: filled, ours: byApi, peer: byDocker },
    floor: () => floor.warm(ECHO),
    aims: [
      { atMost: 0.15, of: 'peer' },
      { atMost: 1.3, of: 'floor' },
    ],
  };
  const commands = { before: filled, ours: () => run(HYPERCTL, hyper), peer: () => run('docker', docker) };
  yield { title: 'run --rm: first byte', ...commands, figure: ({ firstByte }) => firstByte };
  const runAims = [{ atMost: 0.35, of: 'peer' }];
  yield { title: 'run --rm: whole command', ...commands, figure: ({ whole }) => whole, aims: runAims };
  yield* ends(surroundings, filled);
  await hyperd.configure(CLONE);
  yield {
    ...{ title: 'first byte, by clone', ours: byApi, peer: byDocker },
    floor: async () => (await floor.clone(ECHO)).firstByte,
    aims: [{ atMost: 0.6, of: 'peer' }],
  };
  yield {
    ...{ title: 'first byte, cold boot: there is no template yet', rounds: SLOW_ROUNDS },
    before: { ours: () => forgetTemplates(hyperd) },
    ...{ ours: byApi, peer: byDocker, floor: async () => (await floor.boot(ECHO)).firstByte },
  };
  await hyperd.configure(POOL);
}

/**
 * The floor with the image's root file system, and with the guest that hyperd has, or another (its `name` for its files). On the project's own Node,
 * which reads TypeScript.
 */
export async function openFloor(
  { directory, docker, hyperd, options },
  guest = { ...options, name: 'floor' },
) {
  const { Floor } = await import('./floor.ts');
  const rootfs = rootfsOf(DEBIAN, { docker, hyperd });
  return new Floor({
    ...{
      confine: join(BUILD, 'host/confine'),
      passFile: join(BUILD, 'host/pass-file'),
      readable: [dirname(dirname(rootfs)), join(BUILD, 'guest')],
      rehearsalDisk: join(BUILD, 'guest/rehearsal.erofs'),
      resolvConf: '/etc/resolv.conf',
    },
    ...{ directory: join(directory, guest.name), kernel: guest.kernel, initrd: guest.initrd },
    ...{ rootfs, networkGuard: join(BUILD, 'host/network-guard.so') },
    cpuSeconds,
  });
}

/** Creates a pod, joins it, starts it: ms until it says something. It is removed off the clock. */
async function firstByteOf(socket) {
  const startedAt = performance.now();
  const { firstByte, ended } = await runPod(socket, DEBIAN, ECHO);
  const ms = (await firstByte) - startedAt;
  await ended;
  return ms;
}

/** A stop signal that comes before the process has said what it does with it would be lost. */
async function obeys(command, name, env) {
  const logs = () => execFileAsync(command, ['logs', name], { env: { ...process.env, ...env } });
  while (!(await logs()).stdout.includes('ready')) await sleep(20);
}

async function* ends({ docker, hyper }, filled) {
  const name = 'bench-end';
  const detached = ['run', '-d', '--name', name, DEBIAN, ...OBEDIENT];
  const start = {
    async ours() {
      await tryRun(HYPERCTL, ['rm', name], hyper);
      await filled.ours();
      await timed(HYPERCTL, detached, hyper);
      await filled.ours();
      await obeys(HYPERCTL, name, hyper);
    },
    async peer() {
      await tryRun('docker', ['rm', '-f', name], docker);
      await timed('docker', detached, docker);
      await obeys('docker', name, docker);
    },
  };
  const whole = ({ whole: ms }) => ms;
  yield {
    ...{ title: 'stop: whole command', before: start, figure: whole },
    ours: () => timed(HYPERCTL, ['stop', name], hyper),
    peer: () => timed('docker', ['stop', name], docker),
  };
  const replace = (command, remove, env) => () =>
    took(async () => {
      await timed(command, [...remove, name], env);
      await timed(command, detached, env);
    });
  const dockerReplace = replace('docker', ['rm', '-f'], docker);
  yield {
    ...{ title: 'replace a pod: whole commands', before: start },
    ...{ ours: replace(HYPERCTL, ['rm'], hyper), peer: dockerReplace },
  };
  const socket = socketOf(hyper.HYPER_HOST);
  await tryRun(HYPERCTL, ['rm', name], hyper);
  let pod;
  const begin = async () => {
    pod = await createPod(socket, DEBIAN, OBEDIENT);
    await startPod(socket, pod);
  };
  yield {
    title: 'replace a pod: API, beside docker rm -f and docker run',
    before: {
      ...start,
      async ours() {
        if (pod) await removePod(socket, pod);
        await filled.ours();
        await begin();
        await filled.ours();
      },
    },
    ours: () =>
      took(async () => {
        await removePod(socket, pod);
        await begin();
      }),
    ...{ peer: dockerReplace, aims: [{ atMost: 0.2, of: 'peer' }] },
  };
  if (pod) await removePod(socket, pod);
  await tryRun(HYPERCTL, ['rm', name], hyper);
  await tryRun('docker', ['rm', '-f', name], docker);
}
