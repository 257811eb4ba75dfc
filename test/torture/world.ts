import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient } from '@hyperd/client';
import { eventually, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { busyboxLayer, type SampleImage } from '../support/images.ts';
import { openNetns, type TestNetns } from '../support/netns.ts';
import { serve } from '../support/served-images.ts';

const SUBNET = '192.168.123.0/24';
/** Generous: the host may be busy with other things. */
const GOES_ON_TIMEOUT_MS = 30_000;
/** Of the pod that is to notice nothing. */
const COUNTER = 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done';
export const BYSTANDER = 'bystander';

const PULLED: SampleImage = {
  layers: [busyboxLayer(), [{ name: 'second', type: 'file', data: 'x'.repeat(300_000) }]],
};

/** A daemon that dies where it is told to, a pod that runs through it all, and a registry. Dispose of it. */
export interface World extends AsyncDisposable {
  readonly daemon: TestDaemon;
  readonly client: Client;
  /** The host's network, where the daemon has bridges. */
  readonly host: TestNetns | undefined;
  /** What can be pulled. */
  readonly image: string;
  /** Tells the daemon what is to happen at its fault points (fault-plan.ts). */
  plan(text: string): void;
  /** Points that the daemon has told of since the last plan. */
  passed(): string[];
  /** Whether the daemon is dead, or will be soon. */
  isDead(withinMs?: number): Promise<boolean>;
  /** Starts it again, without a plan. */
  restart(): Promise<void>;
  /** What of the bystander is not as it should be. */
  bystanderFault(): Promise<string | undefined>;
}

export interface WorldOptions {
  readonly bridges: boolean;
  /** The daemon's heap can be looked at (`heapMib`). */
  readonly inspect?: boolean;
}

export async function openWorld({ bridges, inspect = false }: WorldOptions): Promise<World> {
  await using made = new AsyncDisposableStack();
  const directory = made.adopt(mkdtempSync(join(tmpdir(), 'torture-')), (path) =>
    rmSync(path, { recursive: true, force: true }),
  );
  const planFile = join(directory, 'plan');
  writeFileSync(planFile, '');
  const host = bridges ? made.use(openNetns([SUBNET])) : undefined;
  const registry = createServer(serve([PULLED], ([manifest]) => manifest)).listen(0, '127.0.0.1');
  made.defer(() => {
    registry.closeAllConnections();
    registry.close();
  });
  await once(registry, 'listening');
  const daemon = made.use(
    await startDaemon({
      env: {
        HYPERD_FAULT: `@${planFile}`,
        ...(inspect && { NODE_OPTIONS: '--inspect=127.0.0.1:0' }),
      },
      ...(host && { runner: host.runner, args: ['--bridge-ip', '192.168.123.1/24'] }),
    }),
  );
  let client = createClient(`unix://${daemon.socket}`);
  made.defer(() => client[Symbol.dispose]());
  const container = { name: BYSTANDER, image: 'busybox', command: ['sh', '-c', COUNTER] };
  await client.createPod({ id: BYSTANDER, containers: [container] });
  await client.startPod(BYSTANDER);
  const [machine] = daemon.machinePids();
  let logAt = 0;

  const world: World = {
    ...{ daemon, host, image: `localhost:${(registry.address() as AddressInfo).port}/app:latest` },
    get client() {
      return client;
    },
    plan(text) {
      logAt = daemon.log().length;
      writeFileSync(planFile, text);
    },
    passed: () =>
      [
        ...daemon
          .log()
          .slice(logAt)
          .matchAll(/^fault-point (.*#\d+)(?:: the fault)?$/gm),
      ].map(([, point = '']) => point),
    async isDead(withinMs = 0) {
      const { process } = daemon;
      const isDead = (): boolean => process.exitCode !== null || process.signalCode !== null;
      for (let waited = 0; !isDead() && waited < withinMs; waited += 20) await sleep(20);
      return isDead();
    },
    async restart() {
      world.plan('');
      await daemon.restart();
      client[Symbol.dispose]();
      client = createClient(`unix://${daemon.socket}`);
    },
    async bystanderFault() {
      if (!daemon.machinePids().includes(machine as number)) return 'its machine is gone';
      const { stdout } = await daemon.hyperctl(['logs', BYSTANDER]);
      const numbers = stdout.trim().split('\n').map(Number);
      const wrong = numbers.findIndex((number, index) => number !== index + 1);
      if (wrong >= 0) return `line ${wrong + 1} of its log is ${numbers[wrong]}`;
      const goesOn = async (): Promise<boolean> => {
        const now = await daemon.hyperctl(['logs', '--tail', '1', BYSTANDER]);
        return Number(now.stdout) > numbers.length;
      };
      return eventually('the bystander goes on', goesOn, GOES_ON_TIMEOUT_MS).then(
        () => undefined,
        () => `its log ends with ${numbers.at(-1)}`,
      );
    },
    async [Symbol.asyncDispose]() {
      if (resources.disposed) return;
      writeFileSync(planFile, '');
      if (await world.isDead()) await daemon.restart();
      await resources.disposeAsync();
    },
  };
  const resources = made.move();
  return world;
}

/** The lines of a file, for messages. */
export function lastLines(world: World, count = 15): string {
  return readFileSync(join(world.daemon.root, '../daemon.log'), 'utf8')
    .trim()
    .split('\n')
    .slice(-count)
    .join('\n');
}
