import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ailment } from '../upkeep/index.ts';
import { createDoctor } from './doctor.ts';
import { spaceAilments } from './host-checks.ts';

const silent = (): void => undefined;
const logger = { debug: silent, info: silent, warn: silent, error: silent };
const GIB = 1024 ** 3;

function doctorOf(examine: () => Promise<Ailment[]>) {
  return createDoctor([{ name: 'part', examine }], logger);
}

test('what cannot be mended says why, and a check that fails is a finding', async () => {
  const fails = async (): Promise<never> => {
    throw new Error('no way');
  };
  const [part] = await doctorOf(async () => [{ problem: 'p', remedy: 'r', mend: fails }]).examine({
    verify: false,
    mend: true,
  });
  assert.deepEqual(part?.ailments, [
    {
      ...{ problem: 'p', remedy: 'it could not be mended: no way' },
      ...{ isNote: false, canMend: true, isMended: false },
    },
  ]);
  const [other] = await doctorOf(fails).examine({ verify: false, mend: false });
  assert.match(other?.ailments[0]?.problem ?? '', /could not be looked at: no way/);
});

test('a thousand findings are told as a hundred and their number, and all are mended', async () => {
  let mended = 0;
  const mend = async (): Promise<void> => void mended++;
  const many = Array.from({ length: 1000 }, (_, index) => ({ problem: `p${index}`, remedy: 'r', mend }));
  const [part] = await doctorOf(async () => many).examine({ verify: false, mend: true });
  assert.equal(mended, 1000);
  assert.equal(part?.ailments.length, 101);
  assert.deepEqual(part?.ailments.at(-1), {
    ...{ problem: 'and 900 more', remedy: 'as above', isNote: false, canMend: true, isMended: true },
  });
});

for (const [what, space, notes] of [
  ['room enough', { free: 50 * GIB, all: 100 * GIB, freeFiles: 0, files: 0 }, []],
  ['little', { free: 0.5 * GIB, all: 2 * GIB, freeFiles: 0, files: 0 }, [true]],
  ['next to nothing', { free: 1000, all: 2 * GIB, freeFiles: 0, files: 0 }, [false]],
  ['no more files', { free: 50 * GIB, all: 100 * GIB, freeFiles: 9, files: 100_000 }, [false]],
] as const)
  test(`a disk with ${what}`, () => {
    assert.deepEqual(
      spaceAilments('/r', space).map(({ isNote }) => isNote),
      notes,
    );
  });
