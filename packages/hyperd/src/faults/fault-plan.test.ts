import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FaultCounter, parseFaultPlan } from './fault-plan.ts';

for (const [text, plan] of [
  ['', { kind: 'none' }],
  ['trace\n', { kind: 'trace' }],
  ['insert pods', { kind: 'fault', name: 'insert pods', count: 1, error: undefined }],
  ['rename images/tmp#3', { kind: 'fault', name: 'rename images/tmp', count: 3, error: undefined }],
  ['writeSync#2=ENOSPC', { kind: 'fault', name: 'writeSync', count: 2, error: 'ENOSPC' }],
  ['*#17', { kind: 'fault', name: undefined, count: 17, error: undefined }],
] as const)
  test(`fault plan "${text.trim()}"`, () => assert.deepEqual(parseFaultPlan(text), plan));

for (const text of ['a#0', 'a#x', 'a=', '#1', 'a=nospace'])
  test(`"${text}" is no fault plan`, () => assert.throws(() => parseFaultPlan(text), /HYPERD_FAULT/));

test('a point is the planned one when it is passed as often as the plan says', () => {
  const passed = (plan: string, names: readonly string[]): boolean[] => {
    const counter = new FaultCounter(parseFaultPlan(plan));
    return names.map((name) => counter.pass(name).isIt);
  };
  assert.deepEqual(passed('a#2', ['a', 'b', 'a', 'a']), [false, false, true, false]);
  assert.deepEqual(passed('*#2', ['a', 'b', 'a']), [false, true, false]);
  assert.deepEqual(passed('trace', ['a']), [false]);
});
