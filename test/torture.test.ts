import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPERATIONS } from './torture/operations.ts';
import { torture } from './torture/torture.ts';

/** No point is begun after this time; all of them take half an hour: npm run torture. */
const BUDGET_MS = 80_000;
/** Points of a pod's start, its removal and its commit that have proved worth a try; which of them is left to the day. */
const CHOSEN =
  /^(spawn qemu|guest attachDisk|insert machines|rm pods|delete machines|update containers|answer)/;

test('a daemon that dies in the middle of its work loses nothing acknowledged, and leaves nothing half-made', async () => {
  const deadline = Date.now() + BUDGET_MS;
  const names = ['start a pod', 'remove a pod', 'create a volume'];
  const today = Math.floor(Date.now() / 86_400_000);
  const operation = OPERATIONS.filter(({ name }) => names.includes(name))[today % names.length];
  assert.ok(operation);
  const choose = (points: readonly string[]): readonly string[] => {
    const chosen = points.filter((point) => CHOSEN.test(point));
    const first = today % chosen.length;
    return [...chosen.slice(first), ...chosen.slice(0, first)];
  };
  const tried: string[] = [];
  const report = (line: string): void => void tried.push(line);
  assert.deepEqual(await torture(operation, { choose, deadline, report }), [], tried.join('\n'));
});
