import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeErrors, parseRetryAfter, printable } from './answers.ts';
import { domainOfServer } from './hosts.ts';
import { parseContentRange } from './pull-blob.ts';
import { parseUploadRange } from './upload.ts';

for (const [body, expected] of [
  ['{"errors":[{"code":"DENIED","message":"no"},{"code":"UNKNOWN"}]}', 'DENIED: no; UNKNOWN'],
  ['{"errors":[null,7,{"message":"\\u001b[2Jgone\\u202e"}]}', '[2Jgone'],
  ['{"errors":"x"}', ''],
  ['{"details":"incorrect"}', 'incorrect'],
  ['null', ''],
  ['plain words\n', 'plain words'],
  ['<html>long</html>', ''],
  ['', ''],
] as const) {
  test(`describeErrors() of ${JSON.stringify(body)}`, () =>
    assert.equal(describeErrors(Buffer.from(body)), expected));
}

test('describeErrors() is bounded', () => {
  const errors = Array.from({ length: 1000 }, () => ({ code: 'X'.repeat(1000), message: 'y'.repeat(1000) }));
  assert.ok(describeErrors(Buffer.from(JSON.stringify({ errors }))).length <= 301);
  assert.equal(printable('a'.repeat(5), 4), 'aaaa…');
});

const NOW = Date.parse('2026-01-02T03:04:05Z');
for (const [value, expected] of [
  [undefined, undefined],
  ['0', 0],
  [' 120 ', 120_000],
  ['Fri, 02 Jan 2026 03:04:15 GMT', 10_000],
  ['Fri, 02 Jan 2026 03:04:00 GMT', 0],
  ['soon', undefined],
] as const) {
  test(`parseRetryAfter() of ${value}`, () => assert.equal(parseRetryAfter(value, NOW), expected));
}

for (const [value, expected] of [
  ['bytes 5-9/10', { first: 5, total: 10 }],
  ['bytes 0-9/*', { first: 0, total: undefined }],
  ['bytes */10', undefined],
  ['items 0-1/2', undefined],
  ['bytes 5-9', undefined],
  [undefined, undefined],
] as const) {
  test(`parseContentRange() of ${value}`, () => assert.deepEqual(parseContentRange(value), expected));
}

for (const [value, expected] of [
  ['0-0', 0],
  ['0-99', 100],
  ['bytes=0-99', 100],
  ['5-99', undefined],
  ['', undefined],
  [undefined, undefined],
] as const) {
  test(`parseUploadRange() of ${value}`, () => assert.equal(parseUploadRange(value), expected));
}

for (const [address, expected] of [
  ['', 'docker.io'],
  ['https://index.docker.io/v1/', 'docker.io'],
  ['registry-1.docker.io', 'docker.io'],
  ['Registry.Example:5000', 'registry.example:5000'],
  ['http://registry.example/v2/', 'registry.example'],
  ['[::1]:5000', '[::1]:5000'],
] as const) {
  test(`domainOfServer() of "${address}"`, () => assert.equal(domainOfServer(address), expected));
}

for (const address of ['no host', 'a@b', 'a?b', 'a:b', 'a:99999'])
  test(`domainOfServer() refuses "${address}"`, () =>
    assert.throws(() => domainOfServer(address), /is no registry/));
