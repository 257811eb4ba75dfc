import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerState, PodState } from './lifecycle.ts';
import { exitCodeOf } from './lifecycle.ts';
import { PodEnds } from './pod-ends.ts';
import type { PodView } from './pod-service.ts';

const exited = (exitCode: number): ContainerState => ({
  ...{ phase: 'exited', startedAt: 1, finishedAt: 2, exitCode, signal: 0, message: undefined },
});
const ended = (outcome: 'succeeded' | 'failed'): PodState => ({
  ...{ phase: 'ended', outcome, startedAt: 1, finishedAt: 2, message: undefined },
});
const running: PodState = { phase: 'running', startedAt: 1 };

function view(state: PodState, ...containers: ContainerState[]): PodView {
  return { id: 'p', state, containers: containers.map((own) => ({ state: own })) } as unknown as PodView;
}

function pod(current: PodView, isOver: boolean) {
  return { id: 'p', isOver, view: () => current };
}

const never = new AbortController().signal;

test('a pod that does not run is not waited for, unless its next end is wanted', async () => {
  const ends = new PodEnds();
  const over = pod(view(ended('failed'), exited(3)), true);
  assert.equal((await ends.wait(over, { next: false, signal: never })).exitCode, 3);
  assert.equal(
    (await ends.wait(pod(view({ phase: 'pending' }), false), { next: false, signal: never })).exitCode,
    0,
  );
  const next = ends.wait(over, { next: true, signal: never });
  ends.tell(view(ended('succeeded'), exited(0)));
  assert.equal((await next).exitCode, 0);
});

test('everybody who waits is told, and who has gone is not', async () => {
  const ends = new PodEnds();
  const gone = new AbortController();
  const runs = pod(view(running), false);
  const waits = [1, 2].map(() => ends.wait(runs, { next: false, signal: never }));
  const left = ends.wait(runs, { next: false, signal: gone.signal });
  gone.abort();
  await assert.rejects(left, { code: 'canceled' });
  ends.tell(view(ended('failed'), exited(0), exited(9)));
  assert.deepEqual(
    (await Promise.all(waits)).map(({ exitCode }) => exitCode),
    [9, 9],
  );
});

for (const [what, expected, state, ...containers] of [
  ['without containers', 0, ended('succeeded')],
  ['that never started', 0, { phase: 'pending' }, { phase: 'pending' }],
  ['that could not be started', 125, ended('failed'), { phase: 'pending' }],
  ['whose containers ended well', 0, ended('succeeded'), exited(0), exited(0)],
  ['of which the second failed', 4, ended('failed'), exited(0), exited(4), exited(5)],
  ['that was stopped, and ended well', 0, ended('failed'), exited(0)],
] as const) {
  test(`the exit code of a pod ${what} is ${expected}`, () => {
    assert.equal(
      exitCodeOf({
        state: state as PodState,
        containers: containers.map((own) => ({ state: own as ContainerState })),
      }),
      expected,
    );
  });
}
