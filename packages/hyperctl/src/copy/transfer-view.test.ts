import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { TransferView } from './transfer-view.ts';

/** Passes `pieces` of 1000 bytes, `stepMs` apart; resolves with what was shown. */
async function shown(isTTY: boolean, pieces: number, stepMs: number): Promise<string> {
  let [text, now] = ['', 0];
  const view = new TransferView(
    {
      isTTY,
      write: (part: string) => {
        text += part;
      },
    },
    () => now,
  );
  const source = Readable.from(
    (async function* () {
      for (let i = 0; i < pieces; i++) {
        now += stepMs;
        yield Buffer.alloc(1000, i);
      }
    })(),
  );
  const passed = await buffer(source.pipe(view));
  assert.equal(passed.length, pieces * 1000);
  view.finish();
  view.finish();
  return text;
}

test('a copy that takes a second or more is shown on a terminal, in place, and its sum is left standing', async () => {
  const line = (text: string): string => `\r\x1b[2KCopied ${text}`;
  assert.equal(await shown(true, 4, 500), `${line('2 kB')}${line('3 kB')}${line('4 kB')}${line('4 kB')}\n`);
});

test('a quick copy, and one without a terminal, say nothing', async () => {
  assert.equal(await shown(true, 9, 100), '');
  assert.equal(await shown(false, 9, 1000), '');
});
