// Starts and stops pods with failures mixed in, then a mixed load, and compares the host with what it was before: npm run soak -- --help
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { eventually } from '../support/daemon.ts';
import { layerTar } from '../support/images.ts';
import { heapMib } from './heap.ts';
import { inventoryOf } from './inventory.ts';
import { BYSTANDER, openWorld, type World } from './world.ts';

const HELP = `Usage: npm run soak -- [--pods N] [--minutes N] [--at-once N]
  --pods N      pods that are started and stopped (default: 1000)
  --minutes N   of mixed load after that (default: 60)
  --at-once N   how many clients there are (default: 4)
Ends with 1 where the daemon holds more at the end than at the beginning.
`;

/** What the daemon may hold more than at the beginning: caches that fill up once. */
const ALLOWED = { memoryMib: 48, heapMib: 6, descriptors: 2, diskMib: 16 };
/** How often the figures are told on the way. */
const SHOWN = 10;
const SETTLE_MS = 30_000;

interface Figures {
  /** Of the daemon, resident. */
  readonly memoryMib: number;
  /** Of it JavaScript's, once collected: what grows here with the number of pods is a leak. */
  readonly heapMib: number;
  readonly descriptors: number;
  /** Of the root, as `du` counts. */
  readonly diskMib: number;
}

const { values } = parseArgs({
  options: {
    pods: { type: 'string', default: '1000' },
    minutes: { type: 'string', default: '60' },
    'at-once': { type: 'string', default: '4' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(HELP);
else await main(Number(values.pods), Number(values.minutes) * 60_000, Number(values['at-once']));

async function main(pods: number, mixedMs: number, clients: number): Promise<void> {
  await using world = await openWorld({ bridges: false, inspect: true });
  await atOnce(clients, clients, (id) => onePod(world, `warm-${id}`, id)); // what is made only once is there then
  for (let round = 0; round < 5; round++) await mixed(world, 'warm', round);
  await clearAway(world);
  const [before, things] = [await figuresOf(world), await inventoryOf(world)];
  show('before', before);

  const startedAt = Date.now();
  await atOnce(pods, clients, async (id) => {
    await onePod(world, `soak-${id}`, id);
    if ((id + 1) % Math.ceil(pods / SHOWN) === 0)
      show(`${id + 1} pods, ${seconds(startedAt)} s`, await figuresOf(world));
  });
  await clearAway(world);
  show(`after ${pods} pods, ${seconds(startedAt)} s`, await figuresOf(world));

  const deadline = Date.now() + mixedMs;
  let rounds = 0;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      while (Date.now() < deadline) await mixed(world, `mixed-${client}`, rounds++);
    }),
  );
  await clearAway(world);
  const faults: string[] = [];
  await eventually(
    'as at the beginning',
    async () => {
      const now = await figuresOf(world);
      faults.splice(0, faults.length, ...excess(before, now), ...changes(things, await inventoryOf(world)));
      return faults.length === 0;
    },
    SETTLE_MS,
  ).catch(() => undefined); // the faults are told
  show(`after ${rounds} rounds of mixed load`, await figuresOf(world));
  const noticed = await world.bystanderFault();
  if (noticed) faults.push(`the bystander: ${noticed}`);
  for (const fault of faults) console.log(`FOUND ${fault}`);
  console.log(`${faults.length} findings`);
  if (faults.length > 0) process.exitCode = 1;
}

/** A pod's life, every few of them with a failure: a program that is not there, a machine that is killed, a client that goes away. */
async function onePod({ client, daemon }: World, pod: string, kind: number): Promise<void> {
  const failure = kind % 10;
  const command = failure === 1 ? ['/nowhere'] : ['sh', '-c', 'echo begun; sleep 1000'];
  await client.createPod({ id: pod, containers: [{ name: pod, image: 'busybox', command }] });
  try {
    await client.startPod(pod);
    if (failure === 2) {
      const { machine } = (await client.pods({ pod }))[0] ?? { machine: '' };
      const pid = daemon.machinePids().find((id) => commandLine(id).includes(`/${machine}/`));
      if (pid !== undefined && machine !== '') process.kill(pid, 'SIGKILL');
    }
    if (failure === 3) await client.killContainer(pod, 9);
    if (failure !== 4) await client.stopPod(pod, { timeoutSeconds: 0 });
  } catch (error) {
    if (failure === 0 || failure > 3) throw error; // the others are to fail, one way or the other
  }
  await client.removePod(pod);
}

/** One of each of what clients do. */
async function mixed(world: World, name: string, round: number): Promise<void> {
  const { client, daemon, image } = world;
  await onePod(world, `${name}-${round}`, round);
  switch (round % 5) {
    case 0:
      await daemon.hyperctl(['exec', BYSTANDER, 'echo', 'hello']);
      break;
    case 1: {
      for await (const _ of client.images.pull(image));
      break;
    }
    case 2: {
      const dockerfile = `FROM busybox\nENV A=${round}\nRUN echo ${name} > /made\n`;
      const context = layerTar([{ name: 'Dockerfile', type: 'file', data: dockerfile }]);
      const built = client.images.build({ names: [`${name}:built`], context: Readable.from([context]) });
      for await (const _ of built);
      await client.images.remove(`${name}:built`);
      break;
    }
    case 3: {
      const follower = daemon.spawnHyperctl(['logs', '-f', BYSTANDER]);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      follower.kill('SIGKILL');
      break;
    }
    default:
      await client.volumes.create(`${name}-v`);
      await client.volumes.remove(`${name}-v`);
  }
}

async function clearAway({ client, image }: World): Promise<void> {
  await client.images.remove(image).catch(() => undefined); // it may not have been pulled
  await client.images.pruneBuilds({ all: true });
}

/** Runs `count` pieces of work, so many at a time. */
async function atOnce(count: number, limit: number, work: (id: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: limit }, worker));
}

async function figuresOf({ daemon }: World): Promise<Figures> {
  const { pid } = daemon.process;
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const files = readdirSync(daemon.root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/-json\.log|audit\.log/.test(entry.name)) // what grows by intent, within bounds
    .map((entry) => statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.blocks ?? 0);
  return {
    memoryMib: Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024),
    heapMib: await heapMib(daemon.log()),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    diskMib: Math.round(files.reduce((sum, blocks) => sum + blocks, 0) / 2048),
  };
}

function excess(before: Figures, now: Figures): string[] {
  return Object.entries(ALLOWED)
    .map(([name, allowed]) => ({
      name,
      allowed,
      more: now[name as keyof Figures] - before[name as keyof Figures],
    }))
    .filter(({ more, allowed }) => more > allowed)
    .map(({ name, more, allowed }) => `${name}: ${more} more than at the beginning, ${allowed} are allowed`);
}

function changes(before: readonly string[], now: readonly string[]): string[] {
  return [
    ...now.filter((text) => !before.includes(text)).map((text) => `left behind: ${text}`),
    ...before.filter((text) => !now.includes(text)).map((text) => `gone: ${text}`),
    ...(now.length > before.length ? [`${now.length} things on the host, ${before.length} before`] : []),
  ];
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // it has just ended
  }
}

function seconds(since: number): number {
  return Math.round((Date.now() - since) / 1000);
}

function show(when: string, { memoryMib, heapMib, descriptors, diskMib }: Figures): void {
  const memory = `${memoryMib} MiB of memory (${heapMib} on the heap)`;
  console.log(`${when}: ${memory}, ${descriptors} descriptors, ${diskMib} MiB of disk`);
}
