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
  assert.deepEqual(await torture([operation], { choose, deadline, report }), [], tried.join('\n'));
});

/** Where operations have left something behind, or said too little; the rest takes half an hour: npm run torture -- --error ENOSPC. */
const FULL: Readonly<Record<string, RegExp>> = {
  'load an image': /^(open tmp\/layer|rename tmp\/layer-\*#)/,
  'start a pod': /^update containers#1/,
  'commit a container': /^rename tmp\/blob-\*#1/,
};

test('what finds the disk full says so, and leaves nothing behind', async () => {
  const operations = OPERATIONS.filter(({ name }) => name in FULL);
  assert.equal(operations.length, Object.keys(FULL).length);
  const tried: string[] = [];
  const findings = await torture(operations, {
    error: 'ENOSPC',
    choose: (points, { name }) => points.filter((point) => FULL[name]?.test(point)),
    deadline: Date.now() + BUDGET_MS,
    report: (line) => void tried.push(line),
  });
  assert.deepEqual(findings, [], tried.join('\n'));
});
