import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isHyperError } from '../errors.ts';
import type { PodId } from '../ids.ts';
import { openState, type State } from '../state/database.ts';
import { AddressBook } from './address-book.ts';
import type { AttachmentRequest, Network } from './network.ts';
import { createNetworkRecords, type NetworkRecords } from './network-records.ts';
import { parseSubnet } from './subnet.ts';

let root: string;
let state: State;
let records: NetworkRecords;
let count = 0;
before(() => {
  root = mkdtempSync(join(tmpdir(), 'book-'));
  state = openState(root);
  records = createNetworkRecords(state);
});
after(() => {
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

/** A network of four pods. */
function network(): Network {
  const name = `n${++count}`;
  const subnet = parseSubnet(`10.${count}.0.0/29`);
  return records.insert(
    { name, subnet, gateway: `10.${count}.0.1`, mtu: 1500, labels: {}, createdAt: 1 },
    (id) => `b${id}`,
  );
}
const request = (pod: string, more: Partial<AttachmentRequest> = {}): AttachmentRequest => ({
  ...{ pod: pod as PodId, network: '', address: '', mac: '', mtu: 0, ...more },
});

test('an address is held over restarts, and given to one pod at a time until there is none', () => {
  const net = network();
  const book = new AddressBook(records);
  const given = ['a', 'b', 'c', 'd', 'e'].map((pod) => book.reserve(net, request(pod)).address);
  assert.equal(new Set(given).size, 5);
  const again = new AddressBook(records);
  assert.equal(again.of('c' as PodId)?.address, given[2]);
  assert.throws(
    () => again.reserve(net, request('f')),
    (error) =>
      isHyperError(error, 'limit') &&
      /"f" an address on network "n1": all of 10\.1\.0\.0\/29/.test(error.message),
  );
  again.release('c' as PodId);
  assert.equal(again.reserve(net, request('f')).address, given[2]);
});

test('an address that has just become free is the last to be given again', () => {
  const net = network();
  const book = new AddressBook(records);
  const seen: string[] = [];
  for (let round = 0; round < 5; round++) {
    seen.push(book.reserve(net, request('short')).address);
    book.release('short' as PodId);
  }
  assert.equal(new Set(seen).size, 5);
});

for (const [what, more, code, message] of [
  ["the bridge's address", { address: '10.3.0.1' }, 'conflict', /the bridge has 10\.3\.0\.1/],
  ["another pod's address", { address: '10.3.0.3' }, 'conflict', /pod "holder" has 10\.3\.0\.3/],
  ['the broadcast address', { address: '10.3.0.7' }, 'invalid-argument', /no address of a host/],
  ['what is no address', { address: 'x' }, 'invalid-argument', /no address of a host/],
  ["another pod's MAC address", { mac: '02:00:00:00:00:09' }, 'conflict', /pod "holder" has the MAC/],
  ["the bridge's MAC address", { mac: '02:68:0a:03:00:01' }, 'conflict', /the bridge has the MAC/],
  ["a group's MAC address", { mac: '01:00:5e:00:00:01' }, 'invalid-argument', /want one such as/],
  ['a larger MTU than the network has', { mtu: 1501 }, 'invalid-argument', /want 68 to the network's 1500/],
] as const) {
  test(`reserve() refuses ${what}`, () => {
    const book = new AddressBook(records);
    const net = records.networks().find(({ name }) => name === 'n3') ?? network();
    if (!book.of('holder' as PodId))
      book.reserve(net, request('holder', { address: '10.3.0.3', mac: '02:00:00:00:00:09' }));
    assert.throws(
      () => book.reserve(net, request('late', more)),
      (error) => isHyperError(error, code) && message.test(error.message),
    );
    assert.equal(book.of('late' as PodId), undefined);
  });
}
