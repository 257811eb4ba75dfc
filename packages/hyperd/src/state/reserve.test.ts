import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Reserve } from './reserve.ts';

const full = (): never => {
  throw Object.assign(new Error('database or disk is full'), { errcode: 13 });
};

function withPath(work: (path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'reserve-'));
  try {
    work(join(directory, 'reserve'));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('a removal gets no more of what was kept for it than it needs, and that is kept again later', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  withPath((path) => {
    using reserve = new Reserve(path);
    const { size } = statSync(path);
    const needed = 200_000;
    const removal = (): string => (size - statSync(path).size < needed ? full() : 'removed');
    assert.equal(reserve.spend(removal), 'removed');
    assert.ok(statSync(path).size > size / 2);
    t.mock.timers.tick(1_000);
    assert.equal(statSync(path).size, size);
  });
});

test('without any of it, and for other reasons, a removal fails as it would', () =>
  withPath((path) => {
    using reserve = new Reserve(path);
    const { size } = statSync(path);
    assert.throws(() => reserve.spend(() => assert.fail('a mistake')), /a mistake/);
    assert.equal(statSync(path).size, size);
    assert.throws(() => reserve.spend(full), /full/);
    assert.equal(statSync(path).size, 0);
    assert.throws(() => reserve.spend(full), /full/);
  }));
