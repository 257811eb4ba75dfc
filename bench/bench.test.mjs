import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measure } from './measure.mjs';
import { optionsOf } from './options.mjs';
import { pageOf } from './page.mjs';
import { judge, summaryOf } from './statistics.mjs';
import { tableOf } from './table.mjs';

const GROUPS = [
  { name: 'start', summary: 's' },
  { name: 'pods', summary: 'p' },
];

test('summaryOf() gives median, quartiles and extremes, whatever the order and the number', () => {
  for (const [values, q1, median, q3] of [
    [[7], 7, 7, 7],
    [[4, 2], 2.5, 3, 3.5],
    [[5, 1, 3, 2, 4], 2, 3, 4],
  ]) {
    const { min, max, count, ...rest } = summaryOf(values);
    assert.deepEqual(rest, { q1, median, q3 });
    assert.deepEqual([min, max, count], [Math.min(...values), Math.max(...values), values.length]);
  }
});

test('judge() bounds a ratio or the figure itself, and says nothing where there is nothing to compare with', () => {
  const result = { ours: summaryOf([30]), peer: summaryOf([100]) };
  for (const [aim, met] of [
    [{ atMost: 0.3, of: 'peer' }, true],
    [{ atMost: 0.29, of: 'peer' }, false],
    [{ atMost: 1.3, of: 'floor' }, undefined],
    [{ atMost: 30 }, true],
    [{ atMost: 29 }, false],
  ])
    assert.equal(judge(aim, result).met, met, JSON.stringify(aim));
});

test('measure() warms up first, and does what is compared in turns', async () => {
  const done = [];
  const work = (who) => async () => done.push(who);
  const benchmark = {
    ...{ title: 't', before: { ours: work('before') }, figure: (value) => value },
    ...{ ours: work('ours'), peer: work('peer'), aims: [{ atMost: 9, of: 'peer' }] },
  };
  const result = await measure(
    benchmark,
    { rounds: 2, warmUp: 1 },
    new AbortController().signal,
    () => undefined,
  );
  assert.deepEqual(done, Array.from({ length: 3 }, () => ['peer', 'before', 'ours']).flat());
  assert.deepEqual(result.samples, { peer: [4, 7], ours: [6, 9] });
  assert.equal(result.aims[0].met, true);
});

test('measure() ends when it is asked to, and refuses what is no figure', async () => {
  const options = { rounds: 2, warmUp: 0 };
  const ended = new AbortController();
  const endless = {
    title: 't',
    ours() {
      ended.abort(new Error('SIGINT'));
      return 1;
    },
  };
  await assert.rejects(
    measure(endless, options, ended.signal, () => undefined),
    /SIGINT/,
  );
  const silent = { title: 't', ours: () => Number.NaN };
  await assert.rejects(
    measure(silent, options, new AbortController().signal, () => undefined),
    /"t", ours: NaN is no figure/,
  );
});

test('optionsOf() chooses groups and cases, and says what it does not know', () => {
  const titles = (args) =>
    optionsOf(args, GROUPS).wanted.map(({ group, includes }) => [
      group.name,
      includes('exec: API'),
      includes('list'),
    ]);
  assert.deepEqual(titles([]), [
    ['start', true, true],
    ['pods', true, true],
  ]);
  assert.deepEqual(titles(['pods/exec', 'pods/nothing']), [['pods', true, false]]);
  assert.throws(() => optionsOf(['stop'], GROUPS), /no group "stop" of benchmarks; there are start, pods/);
  assert.throws(
    () => optionsOf(['--rounds', '0'], GROUPS),
    /--rounds is "0"; want a whole number from 1 to 9999/,
  );
});

test('page and table tell every case, escaped, also one that was not measured', () => {
  const measured = {
    ...{ title: 'a <b> & "c"', unit: 'ms', samples: { ours: [1, 2], peer: [4, 4] }, aims: [] },
    ...{ ours: summaryOf([1, 2]), peer: summaryOf([4, 4]) },
  };
  const skipped = { title: 'cold', unit: 'ms', skipped: 'no such policy', samples: {}, aims: [] };
  const groups = [{ group: 'start', cases: [measured, skipped] }];
  const page = pageOf({
    date: 'd',
    host: 'h',
    hyperd: 'v',
    peer: 'p',
    kernel: 'k',
    rounds: 2,
    warmUp: 1,
    groups,
  });
  for (const text of ['a &lt;b&gt; &amp; &quot;c&quot;', 'not measured: no such policy', '<svg', '0.38'])
    assert.ok(page.includes(text), text);
  assert.doesNotMatch(page, /https?:|<b>|<script/);
  assert.match(tableOf(groups), /a <b> & "c", ms +1\.50 +1\.00 +2\.00 +4\.00 +0\.38/);
});
