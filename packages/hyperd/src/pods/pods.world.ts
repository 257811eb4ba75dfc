import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { mock } from 'node:test';
import { isHyperError } from '../errors.ts';
import { Events } from '../events/index.ts';
import type { Digest } from '../ids.ts';
import type { ImageService } from '../images/image-service.ts';
import { HostPorts } from '../networks/host-ports.ts';
import { Networks } from '../networks/networks.ts';
import type { State } from '../state/database.ts';
import { MIGRATIONS } from '../state/migrations.ts';
import { OwedWrites } from '../state/owed-writes.ts';
import { DiskLeases } from '../volumes/disk-images.ts';
import { HostPaths } from '../volumes/host-paths.ts';
import { NamedVolumes } from '../volumes/named-volumes.ts';
import { Turns } from '../volumes/turns.ts';
import { ContainerLogs } from './container-log.ts';
import { createPodRecords } from './pod-records.ts';
import type { Outcome } from './pods.model.ts';
import { ReadyImages } from './ready-images.ts';
import { ScriptedMachines } from './scripted-machines.ts';
import { Pods } from './service.ts';

const NO_CHOICE = { isByPod: true, choice: { type: '', config: {} } };
const realTimeout = setTimeout;
/** Longer than any back-off. */
const LONG_MS = 61_000;

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** The real pod service on scripted machines and a database in memory. Time stands still but for `outcome`. */
export class World {
  readonly machines = new ScriptedMachines();
  readonly root = mkdtempSync(join(tmpdir(), 'pods-'));
  readonly state: State;
  leases = 0;
  pods: Pods;

  constructor() {
    const db = new DatabaseSync(':memory:');
    db.exec('PRAGMA foreign_keys = ON');
    for (const sql of MIGRATIONS) db.exec(sql);
    this.state = {
      db,
      transact: (work) => work(),
      examine: () => [],
      owed: new OwedWrites(),
      toRemove: (work) => work(),
      withoutSync: (work) => work(),
      [Symbol.dispose]: () => db.close(),
    };
    this.pods = this.#open();
  }

  #open(): Pods {
    const images = {
      resolve: async (name: string) => ({
        id: `sha256:${name.repeat(64)}` as Digest,
        run: { user: '', env: [], entrypoint: [], cmd: [], workingDir: '', stopSignal: '' },
      }),
      rootfs: async (id: Digest) => {
        await turn();
        this.leases++;
        return { path: id, format: 'raw', [Symbol.dispose]: () => void this.leases-- };
      },
    } as unknown as ImageService;
    const settings = { bridge: undefined, bridgeIp: '', filters: true };
    const events = new Events();
    const networks = new Networks({ root: this.root, state: this.state, logger: silent, settings, events });
    const scratch = { ensure: turn };
    return new Pods({
      networks,
      ...{ scratch, readyImages: new ReadyImages(images, scratch) },
      ...{ root: this.root, records: createPodRecords(this.state), machines: this.machines, images },
      ...{ logs: new ContainerLogs({ ...NO_CHOICE, directory: join(this.root, 'pods') }), logger: silent },
      ...{ events, hostPorts: new HostPorts('127.0.0.1') },
      volumes: {
        ...{ hostPaths: new HostPaths([]), diskLeases: new DiskLeases(), fills: new Turns() },
        named: new NamedVolumes({ root: this.root, state: this.state, logger: silent, events }),
      },
    });
  }

  /** The daemon ends, `meanwhile` happens, and the next one starts. */
  async restart(meanwhile: () => unknown = () => undefined): Promise<void> {
    await this.pods[Symbol.asyncDispose]();
    await this.machines[Symbol.asyncDispose]();
    await meanwhile();
    this.leases = 0;
    this.pods = this.#open();
    await this.pods.restore(await this.machines.adoptAll());
  }

  /** What the call comes to, once everything that follows from it has happened, too. */
  async outcome(work: () => Promise<unknown>): Promise<Outcome> {
    const result = await inTime(work().then(() => 'ok' as const, codeOf));
    await this.#settle();
    return result;
  }

  /** Lets follow-ups, restarts and removals happen. */
  async #settle(): Promise<void> {
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 8; i++) await turn();
      await this.#passThrough();
      mock.timers.tick(LONG_MS);
      await turn();
      await this.#passThrough();
      await this.#removals();
    }
  }

  /** What is being removed is seen by nobody any more, and takes its time. */
  async #removals(): Promise<void> {
    const records = createPodRecords(this.state);
    for (let round = 0; records.all().some(({ pod }) => pod.state.phase === 'removing'); round++) {
      if (round > 2_000) throw new Error('a removal hangs');
      await new Promise((resolve) => realTimeout(resolve, 1));
    }
    await turn();
  }

  /** A call that is refused in every state, behind everything that the pods have under way. */
  async #passThrough(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      for (const { id, state } of this.pods.list()) {
        const refused = state.phase === 'paused' ? this.pods.pause(id) : this.pods.unpause(id);
        await inTime(refused.then(() => assert.fail('the probe changed something'), codeOf));
        await turn();
      }
    }
  }

  /** What has to hold between any two commands, whatever they were. */
  async verify(): Promise<void> {
    const pods = this.pods.list();
    const inits: string[] = [];
    const machines: string[] = [];
    for (const { id, state, machineId, containers } of pods) {
      assert.ok(
        ['pending', 'running', 'paused', 'ended'].includes(state.phase),
        `pod ${id} is stuck: ${state.phase}`,
      );
      const isAlive = state.phase === 'running' || state.phase === 'paused';
      assert.equal(machineId !== undefined, isAlive, `pod ${id} is ${state.phase}, its machine ${machineId}`);
      if (machineId) machines.push(machineId);
      for (const container of containers) {
        if (container.state.phase === 'running') inits.push(container.id);
        if (!isAlive) assert.notEqual(container.state.phase, 'running', `${container.name} runs in no pod`);
      }
    }
    const idle = this.machines.list().filter(({ owner }) => owner === undefined);
    machines.push(...idle.map(({ id }) => id));
    assert.deepEqual(this.machines.living.sort(), machines.sort(), 'machines are the pods’ own, or idle');
    assert.deepEqual(this.machines.runningInits().sort(), inits.sort(), 'what runs is what is said to run');
    const alive = pods.filter(({ machineId }) => machineId !== undefined);
    const images = alive.flatMap(({ containers }) => [...new Set(containers.map(({ imageId }) => imageId))]);
    assert.ok(this.leases <= images.length + alive.length * 2, 'images are let go of');
    if (alive.length === 0) assert.equal(this.leases, 0, 'images are let go of');
    const stored = createPodRecords(this.state).all();
    assert.deepEqual(stored.map(({ pod }) => pod.id).sort(), pods.map(({ id }) => id).sort());
    for (const { pod } of stored)
      assert.deepEqual(
        pod.state,
        clean(pods.find(({ id }) => id === pod.id)?.state),
        'the record is the truth',
      );
    assert.deepEqual(await this.pods.examine(), [], 'nothing is left of what has gone');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pods[Symbol.asyncDispose]();
    await this.machines[Symbol.asyncDispose]();
    this.machines.end();
    await turn();
    this.state[Symbol.dispose]();
    rmSync(this.root, { recursive: true, force: true });
  }
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const clean = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null));

export function codeOf(error: unknown): Outcome {
  if (isHyperError(error)) return error.code;
  throw error;
}

/** Lets time pass until it is settled. Files take time of the real clock; what then takes minutes of the pods' hangs. */
async function inTime<T>(promise: Promise<T>): Promise<T> {
  let isSettled = false;
  const settled = (): void => {
    isSettled = true;
  };
  promise.then(settled, settled);
  for (let round = 0; !isSettled; round++) {
    if (round > 2_000) throw new Error('a call hangs');
    for (let i = 0; i < 10 && !isSettled; i++) await turn();
    if (isSettled || round < 10) continue;
    await new Promise((resolve) => realTimeout(resolve, 1));
    if (round % 10 === 0) mock.timers.tick(1_000);
  }
  return promise;
}
