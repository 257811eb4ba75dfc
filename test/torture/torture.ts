import { isDeepStrictEqual } from 'node:util';
import { eventually } from '../support/daemon.ts';
import { inventoryOf } from './inventory.ts';
import type { Operation } from './operations.ts';
import { lastLines, openWorld, type World } from './world.ts';

/** Time for what goes on after an answer. */
const AFTERMATH_MS = 700;
const DEATH_MS = 2_000;
const SETTLE_MS = 20_000;
/** What is no call to the system, and what takes no room. */
const NEVER_FAILS = /^(answer|rm|rmdir|unlink|rmSync|unlinkSync|spawn (ip|nft|iptables))\b/;
/** What clients are told, by the error that the host gave. */
const TOLD: Readonly<Record<string, RegExp>> = { ENOSPC: /no space (is )?left/ };

/** A promise that was broken. */
export interface Finding {
  readonly operation: string;
  /** Where the daemon died. */
  readonly point: string;
  readonly what: string;
}

export interface TortureOptions {
  /** Which of an operation's points to try (default: all). */
  readonly choose?: (points: readonly string[], operation: Operation) => readonly string[];
  /** No point is begun after this time (ms since the epoch). */
  readonly deadline?: number;
  /** The point's action fails with this system error, and the daemon lives on; none: it dies there. */
  readonly error?: string;
  readonly report?: (line: string) => void;
}

/** Tries each operation once for each of its fault points. Makes worlds as it needs them, and ends them. */
export async function torture(
  operations: readonly Operation[],
  options: TortureOptions = {},
): Promise<Finding[]> {
  const { choose = (all) => all, deadline = Infinity, error, report = () => undefined } = options;
  const findings: Finding[] = [];
  const bridges = operations.some(({ needsBridges }) => needsBridges);
  let world = await openWorld({ bridges });
  try {
    for (const operation of operations) {
      const states = await statesOf(world, operation, error);
      const points = choose(states.points, operation);
      report(`${operation.name}: ${points.length} of ${states.points.length} points`);
      for (const point of points) {
        if (Date.now() > deadline) break;
        try {
          const how = await tryPoint(world, operation, states, { point, error });
          report(`  ${point}: ${how}`);
        } catch (failure) {
          const said = failure instanceof Error ? failure.message : String(failure);
          report(`  ${point}: ${said}`);
          findings.push({ operation: operation.name, point, what: `${said}\n${lastLines(world)}` });
          await world[Symbol.asyncDispose]();
          world = await openWorld({ bridges });
        }
      }
      const noticed = await world.bystanderFault();
      if (noticed)
        findings.push({ operation: operation.name, point: '(all)', what: `bystander: ${noticed}` });
    }
  } finally {
    await world[Symbol.asyncDispose]();
  }
  return findings;
}

/** What there is on the host before the operation's set-up, before the operation, and after it; and the points on its way. */
interface States {
  readonly clean: readonly string[];
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly points: readonly string[];
}

async function statesOf(world: World, operation: Operation, error: string | undefined): Promise<States> {
  // Once without looking: what only the first time makes is there then.
  await operation.setUp?.(world);
  await operation.run(world, () => undefined);
  await operation.undo(world);
  const clean = await settled(world);
  await operation.setUp?.(world);
  const before = await settled(world);
  await operation.run(world, () => world.plan('trace'));
  await pause(AFTERMATH_MS);
  const points = world.passed();
  world.plan('');
  const after = await settled(world);
  await operation.undo(world);
  await same(world, clean, 'after it was undone');
  // The bystander's log is an operation of its own.
  const own = points.filter((point) => operation.isOfLogs || !point.startsWith('writeSync'));
  return { clean, before, after, points: pointsWorthTrying([...new Set(own)], error) };
}

/** Of the many writes into an open file the first and the last, and only where they are to fail: one that is cut off is like the next point. */
function pointsWorthTrying(points: readonly string[], error: string | undefined): readonly string[] {
  const writes = points.filter((point) => point.startsWith('write file#'));
  const left = error === undefined ? new Set(writes) : new Set(writes.slice(1, -1));
  return points.filter((point) => !left.has(point) && !(error !== undefined && NEVER_FAILS.test(point)));
}

async function tryPoint(
  world: World,
  operation: Operation,
  { clean, before, after }: States,
  { point, error }: { readonly point: string; readonly error: string | undefined },
): Promise<string> {
  await operation.setUp?.(world);
  const plan = error === undefined ? point : `${point}=${error}`;
  const outcome = await operation
    .run(world, () => world.plan(plan))
    .then(
      () => 'acknowledged' as const,
      (reason: unknown) => (reason instanceof Error ? reason.message : String(reason)),
    );
  const wasReached = world.passed().length > 0;
  const isDead = await world.isDead(error === undefined ? DEATH_MS : AFTERMATH_MS);
  if (isDead && error !== undefined) throw new Error('the daemon has died of an error');
  if (isDead) await world.restart();
  else world.plan('');
  if (!isDead && error === undefined && outcome !== 'acknowledged')
    throw new Error(`not killed, and it failed: ${outcome}`);
  if (error !== undefined && outcome !== 'acknowledged' && TOLD[error]?.test(outcome) === false)
    throw new Error(`it fails without the reason: ${outcome}`);
  const isDone = await operation.isDone(world);
  if (outcome === 'acknowledged' && !isDone) throw new Error('acknowledged, and lost');
  if (outcome !== 'acknowledged' && !isDead && isDone) throw new Error(`it is done, and failed: ${outcome}`);
  if (isDone) await same(world, after, 'where it is done');
  else {
    await operation.settle?.(world);
    await same(world, operation.settle ? clean : before, 'where it is not done');
    if (operation.settle) await operation.setUp?.(world);
    await operation.run(world, () => undefined);
    if (!(await operation.isDone(world))) throw new Error('done again, and it is not done');
    await same(world, after, 'where it was done again');
  }
  await operation.undo(world);
  await same(world, clean, 'where it was undone');
  const end = outcome === 'acknowledged' ? outcome : isDead ? 'cut off' : `failed (${outcome.slice(0, 150)})`;
  return `${wasReached ? '' : 'not reached, '}${end}, ${isDone ? 'done' : 'not done'}`;
}

/** Waits until there is on the host what there should be. */
async function same(world: World, expected: readonly string[], when: string): Promise<void> {
  let found: readonly string[] = [];
  await eventually(
    'the host is as it should be',
    async () => {
      found = await inventoryOf(world);
      return isDeepStrictEqual(found, expected);
    },
    SETTLE_MS,
  ).catch(() => {
    throw new Error(`${when} the host has ${differences(found, expected)}`);
  });
}

/** What there is when nothing changes any more. */
async function settled(world: World): Promise<readonly string[]> {
  let last = await inventoryOf(world);
  await eventually('the host is quiet', async () => {
    await pause(AFTERMATH_MS);
    const now = await inventoryOf(world);
    const isQuiet = isDeepStrictEqual(now, last);
    last = now;
    return isQuiet;
  });
  return last;
}

function differences(found: readonly string[], expected: readonly string[]): string {
  const without = (all: readonly string[], others: readonly string[]): string[] => {
    const rest = [...others];
    return all.filter((text) => {
      const at = rest.indexOf(text);
      if (at >= 0) rest.splice(at, 1);
      return at < 0;
    });
  };
  const [more, less] = [without(found, expected), without(expected, found)];
  return [...more.map((text) => `"${text}" more`), ...less.map((text) => `"${text}" less`)].join(', ');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
