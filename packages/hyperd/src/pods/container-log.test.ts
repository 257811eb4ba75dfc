import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import type { ContainerId, PodId } from '../ids.ts';
import { type ContainerLog, ContainerLogs, type LogPlace } from './container-log.ts';
import type { ContainerRecord } from './pod-records.ts';
import { parseContainerSpec } from './spec/index.ts';

const OPEN = { type: '', config: {} };
const container = {
  ...{ podId: 'p' as PodId, id: 'c'.repeat(64) as ContainerId, name: 'web' },
  spec: parseContainerSpec({ image: 'busybox', labels: { tier: 'front', other: 'x' } }),
  run: { env: ['MODE=dark=blue', 'PATH=/bin'] } as unknown as ContainerRecord['run'],
};

async function inLogs(
  place: Partial<LogPlace>,
  work: (logs: ContainerLogs, directory: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'logs-'));
  try {
    await work(new ContainerLogs({ directory, isByPod: true, choice: OPEN, ...place }), directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function open(logs: ContainerLogs, choice = OPEN): ContainerLog {
  return logs.open(container, choice, {
    onDurable: () => undefined,
    onError: (error) => assert.fail(String(error)),
  });
}

const all = (signal = new AbortController().signal) => ({ stdout: true, stderr: true, follow: true, signal });

test('the log of a pod that wants none is not kept, all of it counts as written, and reading says so', () =>
  inLogs({}, async (logs, directory) => {
    const durable: number[] = [];
    const choice = { type: 'none', config: {} };
    const log = logs.open(container, choice, {
      onDurable: (_, end) => durable.push(end),
      onError: assert.fail,
    });
    log.append('stdout', Buffer.from('hello\n'), 6);
    log.close();
    assert.deepEqual(durable, [6]);
    assert.deepEqual(readdirSync(directory), []);
    assert.throws(
      () => logs.read(container, choice, all()),
      (error) =>
        isHyperError(error, 'unsupported') && /container web: logger not support read/.test(error.message),
    );
  }));

test("labels and variables that the pod names are in every entry, as Docker's attrs", () =>
  inLogs({}, async (logs, directory) => {
    const log = open(logs, { type: 'json-file', config: { labels: 'tier,none', env: 'MODE' } });
    log.append('stdout', Buffer.from('ascii\n\u00fc\n'), 9);
    log.close();
    const lines = readFileSync(join(directory, 'p', `${container.id}-json.log`), 'utf8')
      .trim()
      .split('\n');
    assert.equal(lines.length, 2);
    for (const line of lines)
      assert.deepEqual(JSON.parse(line).attrs, { tier: 'front', MODE: 'dark=blue' }, line);
  }));

for (const isByPod of [true, false]) {
  test(`a removed ${isByPod ? 'pod' : 'container'} leaves no file of its log, put aside ones included`, () =>
    inLogs(
      { isByPod, choice: { type: '', config: { 'max-size': '1k', 'max-file': '5' } } },
      async (logs, directory) => {
        const log = open(logs);
        for (let i = 1; i <= 100; i++) {
          log.append('stdout', Buffer.from(`${'x'.repeat(99)}\n`), i * 100);
          await new Promise((resolve) => setImmediate(resolve));
        }
        log.close();
        const folder = isByPod ? join(directory, 'p') : directory;
        assert.equal(readdirSync(folder).length, 5);
        await logs.removePod(container.podId, [container.id]);
        assert.equal(isByPod ? existsSync(folder) : readdirSync(folder).length > 0, false);
      },
    ));
}

test('ten thousand followers that come and go leave no file open and nobody waiting', () =>
  inLogs({}, async (logs) => {
    const log = open(logs);
    log.append('stdout', Buffer.from('line\n'), 5);
    await new Promise((resolve) => setImmediate(resolve));
    const before = readdirSync('/proc/self/fd').length;
    const end = new AbortController();
    let listeners = 0;
    const add = end.signal.addEventListener.bind(end.signal);
    const remove = end.signal.removeEventListener.bind(end.signal);
    end.signal.addEventListener = (...parameters: unknown[]) => {
      listeners++;
      add(...(parameters as Parameters<typeof add>));
    };
    end.signal.removeEventListener = (...parameters: unknown[]) => {
      listeners--;
      remove(...(parameters as Parameters<typeof remove>));
    };
    for (let round = 0; round < 100; round++) {
      const followers = Array.from({ length: 100 }, async () => {
        for await (const _ of logs.read(container, OPEN, all(end.signal))) break;
      });
      await Promise.all(followers);
    }
    assert.equal(readdirSync('/proc/self/fd').length, before);
    // Those that wait for more when their client goes.
    const waiting = Array.from({ length: 100 }, async () => {
      for await (const _ of logs.read(container, OPEN, all(end.signal)));
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    end.abort();
    await Promise.all(waiting);
    assert.equal(readdirSync('/proc/self/fd').length, before);
    assert.ok(listeners <= 0, `${listeners} listeners are left`);
    log.close();
  }));
