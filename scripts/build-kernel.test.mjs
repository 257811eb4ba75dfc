import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lostOptions } from './build-kernel.mjs';

test('lostOptions() names what a kernel does not have as it was asked for', () => {
  const list = '# a comment\n\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=64\nCONFIG_D=y\n';
  const configuration = 'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=8\n';
  assert.deepEqual(lostOptions(list, configuration), ['CONFIG_B=y', 'CONFIG_C=64', 'CONFIG_D=y']);
});
