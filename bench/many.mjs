// Many pods: started at once, what they take of memory and processor while they do nothing, lists and calls beside them, and the daemon's start with them.
import { setTimeout as sleep } from 'node:timers/promises';
import { call, createPod, podIds, removePods, socketOf, startPod, took } from './api.mjs';
import { DEBIAN, haveDebian } from './images-for-both.mjs';
import { cpuSeconds, machineMemory, pidsOf, privateMib, residentMib } from './memory.mjs';
import { POOL, poolFilled } from './policies.mjs';
import { commandLineOf, machinePids } from './surroundings.mjs';

export const name = 'many';
export const summary =
  '10 and 50 pods at once; memory, processor, lists and calls with 50; daemon start with 100';

const IDLE = ['sleep', '1000000'];
const FEW = 10;
const MANY = 50;
const MOST = 100;
const ROUNDS = 3;
/** Until what a start has left behind is settled, in ms. */
const SETTLE_MS = 15_000;
const IDLE_MS = 20_000;
/** Connections at once, and for how long, in the case of calls. */
const CONNECTIONS = 8;
const CALLS_MS = 2_000;

export async function* cases(surroundings) {
  const { docker, hyper, hyperd } = surroundings;
  haveDebian(surroundings);
  await hyperd.configure(POOL);
  const both = { hyper: socketOf(hyper.HYPER_HOST), docker: socketOf(docker.DOCKER_HOST) };
  const empty = {
    async ours() {
      await removePods(both.hyper);
      await poolFilled(hyper);
    },
    peer: () => removeContainers(both.docker),
  };
  for (const [count, aims] of [
    [FEW, []],
    [MANY, [{ atMost: 1, of: 'peer' }]],
  ]) {
    yield {
      ...{
        title: `${count} pods at once, all up`,
        before: empty,
        rounds: ROUNDS,
        warmUp: count === FEW ? 1 : 0,
        aims,
      },
      ours: () => took(() => atOnce(count, () => pod(both.hyper))),
      peer: () => took(() => atOnce(count, () => container(both.docker))),
    };
  }
  await have(MANY, both);
  await poolFilled(hyper);
  await sleep(SETTLE_MS);
  yield* memory({ docker, hyperd }, both);
  yield* calls(both);
  await removeContainers(both.docker);
  await have(MOST, { hyper: both.hyper });
  yield* daemonStart(hyperd);
  await removePods(both.hyper);
}

const pod = async (socket) => startPod(socket, await createPod(socket, DEBIAN, IDLE));

async function container(socket) {
  const { Id } = await call(socket, 'POST', '/containers/create', { Image: DEBIAN, Cmd: IDLE });
  await call(socket, 'POST', `/containers/${Id}/start`);
}

const atOnce = (count, work) => Promise.all(Array.from({ length: count }, work));

/** Both come to have so many, whatever they had; started a few at a time. */
async function have(count, { hyper, docker }) {
  await fill(count - (await podIds(hyper)).length, () => pod(hyper));
  if (docker) await fill(count - (await containerIds(docker)).length, () => container(docker));
}

async function fill(missing, work) {
  for (let left = missing; left > 0; left -= FEW) await atOnce(Math.min(left, FEW), work);
}

async function containerIds(socket) {
  const list = await call(socket, 'GET', '/containers/json?all=1');
  return list.map(({ Id }) => Id);
}

async function removeContainers(socket) {
  const ids = await containerIds(socket);
  while (ids.length > 0)
    await Promise.all(ids.splice(0, FEW).map((id) => call(socket, 'DELETE', `/containers/${id}?force=1`)));
}

/** Every pod is one reading; machines that wait in the pool are not pods. */
async function* memory({ docker, hyperd }, both) {
  const vms = (await call(both.hyper, 'GET', '/list?item=vm')).vmData ?? [];
  const owned = vms.map((row) => row.split(':')).filter(([, pod]) => pod);
  const isOwned = (pid) => owned.some(([id]) => new RegExp(`/${id}\\b`).test(commandLineOf(pid)));
  const pids = machinePids(hyperd.root).filter(isOwned);
  const shims = pidsOf('containerd-shim', docker.DOCKER_HOST.replace(/^unix:\/\/|\/docker\.sock$/g, ''));
  const machines = pids.map(machineMemory);
  const readings = (figure) => ({ unit: 'MiB', readings: { ours: machines.map(figure) } });
  const own = readings(({ privateMib }) => privateMib);
  if (shims.length > 0) own.readings.peer = shims.map(privateMib);
  yield { title: 'private memory of an idle pod, without TCG', ...own, aims: [{ atMost: 28 }] };
  yield { title: "TCG's buffer of an idle pod", ...readings(({ tcgMib }) => tcgMib) };
  yield { title: 'Pss of an idle pod', ...readings(({ pssMib }) => pssMib) };
  const before = pids.map(cpuSeconds);
  await sleep(IDLE_MS);
  const used = pids.map((pid, index) => ((cpuSeconds(pid) - before[index]) * 1e5) / IDLE_MS);
  yield { title: 'processor time of an idle pod', unit: '%', readings: { ours: used } };
  yield {
    ...{ title: `resident memory of the daemon with ${MANY} pods`, unit: 'MiB', aims: [{ atMost: 120 }] },
    readings: { ours: [residentMib(hyperd.pid)] },
  };
}

async function* calls(both) {
  yield {
    title: `list of ${MANY} running pods`,
    ours: () => took(() => call(both.hyper, 'GET', '/list?item=pod')),
    peer: () => took(() => call(both.docker, 'GET', '/containers/json')),
  };
  for (const [title, ours, peer] of [
    ['calls a second: _ping', '/_ping', '/_ping'],
    [`calls a second: list of ${MANY} running pods`, '/list?item=pod', '/containers/json'],
  ]) {
    yield {
      ...{ title, unit: '1/s' },
      ours: () => callsPerSecond(both.hyper, ours),
      peer: () => callsPerSecond(both.docker, peer),
    };
  }
}

async function callsPerSecond(socket, path) {
  const until = performance.now() + CALLS_MS;
  let count = 0;
  await atOnce(CONNECTIONS, async () => {
    for (; performance.now() < until; count++) await call(socket, 'GET', path);
  });
  return (count * 1000) / CALLS_MS;
}

/** It takes all machines up again before it answers. */
async function* daemonStart(hyperd) {
  yield {
    ...{ title: `start of the daemon with ${MOST} running pods`, rounds: ROUNDS, warmUp: 0 },
    ...{ before: { ours: () => hyperd.stop() }, ours: () => hyperd.start() },
  };
}
