import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHyperError } from '../errors.ts';
import {
  cidrOf,
  contains,
  isHostOf,
  nextAddress,
  overlap,
  parseCidr,
  parseSubnet,
  widest,
} from './subnet.ts';

test('parseSubnet() takes any address of a subnet for it', () => {
  for (const [text, cidr] of [
    ['10.1.2.3/24', '10.1.2.0/24'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['192.168.1.255/30', '192.168.1.252/30'],
    ['255.255.255.255/25', '255.255.255.128/25'],
  ] as const)
    assert.equal(cidrOf(parseSubnet(text)), cidr);
});

test('widest() leaves out what lies within another', () => {
  const of = (...texts: string[]) =>
    widest(texts.map((text) => parseCidr(text)).filter((s) => s !== undefined));
  assert.deepEqual(of('10.1.0.0/16', '10.0.0.0/8', '11.0.0.1/32', '11.0.0.1/32').map(cidrOf), [
    '10.0.0.0/8',
    '11.0.0.1/32',
  ]);
  assert.deepEqual(of('10.0.0.0/8', '0.0.0.0/0').map(cidrOf), ['0.0.0.0/0']);
});

for (const text of [
  '',
  '10.0.0.0',
  '10.0.0.0/',
  '10.0.0.0/7',
  '10.0.0.0/31',
  '10.0.0/24',
  '::1/64',
  '1.2.3.4/24x',
  '999.0.0.1/24',
]) {
  test(`parseSubnet() refuses "${text}"`, () => {
    assert.throws(
      () => parseSubnet(text),
      (error) => isHyperError(error, 'invalid-argument') && /want IPv4/.test(error.message),
    );
  });
}

test('subnets overlap where one holds the other, and touch without', () => {
  const subnet = parseSubnet('10.1.0.0/16');
  for (const [text, expected] of [
    ['10.1.255.0/24', true],
    ['10.0.0.0/8', true],
    ['10.1.0.9/32', true],
    ['10.2.0.0/16', false],
    ['10.0.255.0/24', false],
  ] as const)
    assert.equal(overlap(subnet, parseCidr(text) ?? subnet), expected, text);
});

test('the first and the last address of a subnet are no hosts', () => {
  const subnet = parseSubnet('10.1.0.0/30');
  const addresses = ['10.0.255.255', '10.1.0.0', '10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4'];
  assert.deepEqual(
    addresses.map((address) => isHostOf(subnet, address)),
    [false, false, true, true, false, false],
  );
  assert.deepEqual(
    addresses.map((address) => contains(subnet, address)),
    [false, true, true, true, true, false],
  );
});

test('nextAddress() goes on from the last one, goes round once, and tells when all are taken', () => {
  const subnet = parseSubnet('10.1.0.0/29');
  const taken = new Set(['10.1.0.1', '10.1.0.6']);
  const next = (last: number): string | undefined =>
    nextAddress(subnet, `10.1.0.${last}`, (address) => taken.has(address));
  assert.deepEqual([next(1), next(3), next(5), next(6)], ['10.1.0.2', '10.1.0.4', '10.1.0.2', '10.1.0.2']);
  for (let last = 2; last <= 5; last++) taken.add(`10.1.0.${last}`);
  assert.equal(next(2), undefined);
});
