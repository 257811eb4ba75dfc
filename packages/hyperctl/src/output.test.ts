import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TypedLine } from './ask.ts';
import { imagesOf } from './create-pod.ts';
import { decimalSize, localTime } from './format.ts';
import { ProgressView } from './progress-view.ts';
import { withDefaultTag } from './pull.ts';
import { DetachWatch } from './session-io.ts';
import { table } from './table.ts';

test('table() has cells of at least 20, three spaces between, and nothing behind the last', () => {
  const long = 'x'.repeat(18);
  assert.equal(
    table([
      ['A', 'B'],
      [long, 'b'],
    ]),
    `A${' '.repeat(20)}B\n${long}   b\n`,
  );
  assert.equal(table([['A', 'B']]), `A${' '.repeat(19)}B\n`);
});

test('table() shows no control characters to the terminal', () => {
  assert.equal(table([['a\x1b[2Jb\n']]), 'a?[2Jb?\n');
});

for (const [bytes, text] of [
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1 kB'],
  [4_261_550, '4.262 MB'],
  [1_999_999_999, '2 GB'],
] as const) {
  test(`decimalSize(${bytes}) is ${text}`, () => assert.equal(decimalSize(bytes), text));
}

test('localTime() has two digits for everything but the year', () => {
  assert.equal(localTime(new Date(2026, 0, 2, 3, 4, 5)), '2026-01-02 03:04:05');
});

function view(
  isTTY: boolean,
  rows = 24,
): { view: ProgressView; text: () => string; pass: (ms: number) => void } {
  let [written, now] = ['', 1_000_000];
  const output = { isTTY, columns: 80, rows, write: (text: string) => (written += text) };
  return {
    view: new ProgressView(output, () => now),
    text: () => written,
    pass: (ms) => (now += ms),
  };
}

const downloading = (id: string, current: number) => ({
  ...{ id, status: 'Downloading', progressDetail: { current, total: 3_000_000 } },
});

test('without a terminal every change of status is a line, and figures come every five seconds', () => {
  const { view: progress, text, pass } = view(false);
  progress.show({ id: 'a', status: 'Pulling fs layer' });
  for (let i = 0; i < 100; i++) {
    progress.show(downloading('a', i * 10_000));
    pass(100);
  }
  progress.show({ id: 'a', status: 'Pull complete' });
  progress.show({ status: 'Status: Image is up to date' });
  assert.equal(
    text(),
    [
      'a: Pulling fs layer',
      'a: Downloading 0 B/3 MB',
      'a: Downloading 500 kB/3 MB',
      'a: Pull complete',
      'Status: Image is up to date',
      '',
    ].join('\n'),
  );
});

test('on a terminal every layer has one line, drawn again in place and cut to the width', () => {
  const { view: progress, text } = view(true);
  progress.show({ id: 'a', status: 'Pulling fs layer' });
  progress.show({ id: 'b', status: 'Pulling fs layer' });
  progress.show(downloading('a', 1_500_000));
  progress.show(downloading('a', 1_500_000));
  progress.show({ id: 'b', status: 'x'.repeat(100) });
  assert.equal(
    text(),
    'a: Pulling fs layer\nb: Pulling fs layer\n' +
      '\x1b[2A\r\x1b[2Ka: Downloading [===============               ] 1.5 MB/3 MB\x1b[2B\r' +
      `\x1b[1A\r\x1b[2Kb: ${'x'.repeat(76)}\x1b[1B\r`,
  );
});

test('lines that have left the screen are not drawn, and what is for programs is not shown', () => {
  const { view: progress, text } = view(true, 2);
  for (const id of ['a', 'b', 'c']) progress.show({ id, status: 'Waiting' });
  progress.show({ id: 'a', status: 'Pull complete' });
  progress.show({ aux: { Digest: 'sha256:0' } });
  progress.show({ id: 'c', status: 'Done' });
  assert.equal(text(), 'a: Waiting\nb: Waiting\nc: Waiting\n\x1b[1A\r\x1b[2Kc: Done\x1b[1B\r');
});

test('figures of nothing in particular are one line', () => {
  const { view: progress, text, pass } = view(false);
  for (let current = 0; current < 3; current++) {
    progress.show({ status: 'Importing', progressDetail: { current } });
    pass(3000);
  }
  assert.equal(text(), 'Importing 0 B\nImporting 2 B\n');
});

test('TypedLine takes a line and no more, and acts upon the keys of a terminal', () => {
  const typed = (text: string): [string, string, number] => {
    const line = new TypedLine();
    const taken = line.take(Buffer.from(text));
    return [line.state, line.bytes().toString(), taken];
  };
  assert.deepEqual(typed('user\npassword\n'), ['entered', 'user', 5]);
  assert.deepEqual(typed('\x15no\x15yé\x7fes\r'), ['entered', 'yes', 11]);
  assert.deepEqual(typed('ab\x03'), ['interrupted', 'ab', 3]);
  assert.deepEqual(typed('\x04'), ['ended', '', 1]);
  assert.deepEqual(typed('a'), ['open', 'a', 1]);
});

test('DetachWatch sees the keys in one read and in two, and not apart', () => {
  const typed = (...chunks: string[]): boolean => {
    const watch = new DetachWatch();
    for (const chunk of chunks) watch.see(Buffer.from(chunk));
    return watch.detached;
  };
  assert.ok(typed('a\x10\x11'));
  assert.ok(typed('\x10', '\x11'));
  assert.ok(!typed('\x10a\x11'));
  assert.ok(!typed('\x11\x10'));
});

for (const [image, tagged] of [
  ['busybox', 'busybox:latest'],
  ['team/app:1', 'team/app:1'],
  ['localhost:5000/app', 'localhost:5000/app:latest'],
  ['registry.example/a/b@sha256:0', 'registry.example/a/b@sha256:0'],
] as const) {
  test(`${image} is ${tagged}`, () => assert.equal(withDefaultTag(image), tagged));
}

test('imagesOf() finds images whatever the case of the keys', () => {
  assert.deepEqual(imagesOf({ Containers: [{ Image: 'a' }, { image: 'b' }, {}, null, { image: 1 }] }), [
    'a',
    'b',
  ]);
  assert.deepEqual(imagesOf({}), []);
});
