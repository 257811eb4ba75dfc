import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import { parseFactoryPolicy } from './factory-policy.ts';

for (const [text, expected] of [
  ['', []],
  [' none ', []],
  ['{"cache":2,"template":true,"cpu":2,"memory":512}', [[2, true, 2, 512]]],
  [
    '{"cache":1, "cpu":1,"memory":64}, {"Template":true,"CPU":4}',
    [
      [1, false, 1, 64],
      [0, true, 4, 128],
    ],
  ],
  ['{}', [[0, false, 1, 128]]],
] as const) {
  test(`the policy "${text}" is read`, () => {
    const read = parseFactoryPolicy(text).map(({ cache, template, shape }) => [
      ...[cache, template, shape.vcpus, shape.memoryMib],
    ]);
    assert.deepEqual(read, expected);
  });
}

for (const [text, message] of [
  ['nothing', /VmFactoryPolicy: .*want none, or JSON objects/],
  ['{"cache":1} {"cache":2}', /want none, or JSON objects/],
  ['3', /entry 1 is 3; want an object such as/],
  ['{},[1]', /entry 2 is \[1\]; want an object/],
  ['{"cach":1}', /entry 1 has "cach"; want cache, template, cpu and memory/],
  ['{"cache":-1}', /entry 1: cache is -1; want a whole number from 0 to 256/],
  ['{"cache":"2"}', /entry 1: cache is "2"; want a whole number/],
  ['{"cpu":0}', /cpu is 0; want a whole number from 1 to 240/],
  ['{"memory":1.5}', /memory is 1.5; want a whole number from 4/],
  ['{"template":1}', /template is 1; want true or false/],
  [Array(33).fill('{}').join(','), /33 entries; want at most 32/],
] as const) {
  test(`the policy "${text.slice(0, 40)}" is refused, saying what would be right`, () => {
    assert.throws(
      () => parseFactoryPolicy(text),
      (error) => isHyperError(error, 'invalid-argument') && message.test(error.message),
    );
  });
}
