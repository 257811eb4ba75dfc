import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { type ContainerState, outcomeOf, type PodEvent, type PodState, podTransition } from './lifecycle.ts';

const states: Record<PodState['phase'], PodState> = {
  pending: { phase: 'pending' },
  starting: { phase: 'starting' },
  running: { phase: 'running', startedAt: 5 },
  paused: { phase: 'paused', startedAt: 5 },
  stopping: { phase: 'stopping', startedAt: 5 },
  ended: { phase: 'ended', outcome: 'failed', startedAt: 5, finishedAt: 6, message: undefined },
  removing: { phase: 'removing' },
};
const events: Record<PodEvent['type'], PodEvent> = {
  start: { type: 'start' },
  started: { type: 'started', at: 9 },
  pause: { type: 'pause' },
  unpause: { type: 'unpause' },
  stop: { type: 'stop' },
  end: { type: 'end', outcome: 'succeeded', at: 9 },
  remove: { type: 'remove' },
};
/** Every transition there is; a pair that is not here must be refused. */
const table: readonly (readonly [PodState['phase'], PodEvent['type'], PodState['phase']])[] = [
  ['pending', 'start', 'starting'],
  ['ended', 'start', 'starting'],
  ['starting', 'started', 'running'],
  ['starting', 'end', 'ended'],
  ['running', 'pause', 'paused'],
  ['running', 'stop', 'stopping'],
  ['running', 'end', 'ended'],
  ['paused', 'unpause', 'running'],
  ['paused', 'stop', 'stopping'],
  ['paused', 'end', 'ended'],
  ['stopping', 'end', 'ended'],
  ['pending', 'remove', 'removing'],
  ['ended', 'remove', 'removing'],
  ['removing', 'remove', 'removing'],
];

for (const state of Object.values(states)) {
  for (const event of Object.values(events)) {
    const row = table.find(([from, type]) => from === state.phase && type === event.type);
    test(`a ${state.phase} pod ${row ? `becomes ${row[2]}` : 'refuses'} on ${event.type}`, () => {
      if (row) assert.equal(podTransition(state, event, 'p').phase, row[2]);
      else
        assert.throws(
          () => podTransition(state, event, 'p'),
          (error) => isHyperError(error, 'precondition') && error.message.includes(state.phase),
        );
    });
  }
}

test('the start time survives pause, stop and end', () => {
  const paused = podTransition(states.running, events.pause, 'p');
  const stopping = podTransition(paused, events.stop, 'p');
  const ended = podTransition(stopping, events.end, 'p');
  assert.deepEqual(ended, {
    phase: 'ended',
    outcome: 'succeeded',
    startedAt: 5,
    finishedAt: 9,
    message: undefined,
  });
});

test('a pod succeeds only if all containers exited with 0', () => {
  const exited = (exitCode: number): ContainerState => ({
    ...{ phase: 'exited', startedAt: 1, finishedAt: 2, exitCode, signal: 0, message: undefined },
  });
  assert.equal(outcomeOf([exited(0), exited(0)]), 'succeeded');
  assert.equal(outcomeOf([exited(0), exited(3)]), 'failed');
  assert.equal(outcomeOf([exited(0), { phase: 'pending' }]), 'failed');
});
