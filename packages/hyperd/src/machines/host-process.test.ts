import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { gone, isAlive, kill, parseStat, startTicksOf } from './host-process.ts';

const fields = (state: string): string => `${state} 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0`;

for (const [name, line, ticks] of [
  ['an ordinary name', `12 (qemu) ${fields('S')}`, 777],
  ['a name with parentheses and spaces', `12 (a) b) (c) ${fields('R')}`, 777],
  ['a zombie', `12 (qemu) ${fields('Z')}`, undefined],
] as const) {
  test(`the start time is read behind ${name}`, () => assert.equal(parseStat(line), ticks));
}

test('a process is killed only while it is the one that was meant', async () => {
  const child = spawn('sleep', ['1000']);
  const startTicks = startTicksOf(child.pid as number) as number;
  const process_ = { pid: child.pid as number, startTicks };
  kill({ ...process_, startTicks: startTicks + 1 });
  assert.equal(isAlive(process_), true);
  assert.equal(await gone(process_, 10), false);
  kill(process_);
  await once(child, 'exit');
  assert.equal(await gone(process_, 1000), true);
  kill(process_);
});
