import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HyperError } from '../../errors.ts';
import { checkLogChoice, logSettings } from './log-settings.ts';

const daemon = { type: '', config: {} };

for (const [size, bytes] of [
  ['2048', 2048],
  ['1k', 1024],
  ['10m', 10 * 1024 ** 2],
  ['1.5G', 1.5 * 1024 ** 3],
  ['20MB', 20 * 1024 ** 2],
] as const) {
  test(`max-size ${size} is ${bytes} bytes`, () => {
    const choice = { type: '', config: { 'max-size': size } };
    checkLogChoice(choice, 'log');
    assert.equal(logSettings(choice, daemon).maxSizeBytes, bytes);
  });
}

for (const [config, message] of [
  [{ 'max-size': '0' }, '"log.config.max-size" is "0", want a size from 1k on, such as 500k, 10m or 1g'],
  [{ 'max-size': '-1' }, '"log.config.max-size" is "-1", want a size from 1k on'],
  [{ 'max-size': '10x' }, '"log.config.max-size" is "10x", want a size from 1k on'],
  [{ 'max-file': '0' }, '"log.config.max-file" is "0", want a number of files, 1 to 1000'],
  [{ 'max-file': 'many' }, '"log.config.max-file" is "many", want a number of files'],
  [{ 'max-sise': '1m' }, '"log.config.max-sise" is "1m", want one of max-size, max-file, labels, env'],
] as const) {
  test(`${JSON.stringify(config)} is refused, naming the place`, () => {
    assert.throws(
      () => checkLogChoice({ type: 'json-file', config }, 'log'),
      (error) =>
        error instanceof HyperError && error.code === 'invalid-spec' && error.message.startsWith(message),
    );
  });
}

test('a driver that there is not is refused', () => {
  assert.throws(
    () => checkLogChoice({ type: 'syslog', config: {} }, 'log'),
    /"log.type" is "syslog".*json-file or none/,
  );
});

test("the pod's choice goes before the daemon's, option by option, the daemon's before the defaults", () => {
  const own = { type: 'json-file', config: { 'max-size': '1m', env: 'A, B' } };
  assert.deepEqual(logSettings(own, { type: 'none', config: { 'max-size': '2m', 'max-file': '7' } }), {
    ...{ isKept: true, maxSizeBytes: 1024 ** 2, maxFiles: 7, labels: [], envs: ['A', 'B'] },
  });
  assert.equal(logSettings(daemon, { type: 'none', config: {} }).isKept, false);
  assert.deepEqual(logSettings(daemon, daemon), {
    ...{ isKept: true, maxSizeBytes: 10 * 1024 ** 2, maxFiles: 3, labels: [], envs: [] },
  });
});
