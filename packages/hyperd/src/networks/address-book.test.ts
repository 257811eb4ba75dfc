import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isHyperError } from '../errors.ts';
import type { PodId } from '../ids.ts';
import { openState, type State } from '../state/database.ts';
import { AddressBook } from './address-book.ts';
import { type Attachment, type AttachmentRequest, MAX_FURTHER_NETWORKS, type Network } from './network.ts';
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
function network(name = `n${++count}`, prefix = `10.${count}.1`): Network {
  const subnet = parseSubnet(`${prefix}.0/29`);
  return records.insert(
    { name, subnet, gateway: `${prefix}.1`, mtu: 1500, labels: {}, createdAt: 1 },
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
  const [held] = again.of('c' as PodId);
  assert.equal(held?.address, given[2]);
  assert.throws(
    () => again.reserve(net, request('f')),
    (error) =>
      isHyperError(error, 'limit') &&
      /"f" an address on network "n1": all of 10\.1\.1\.0\/29/.test(error.message),
  );
  again.release(held as Attachment);
  assert.equal(again.reserve(net, request('f')).address, given[2]);
});

test('an address that has just become free is the last to be given again', () => {
  const net = network();
  const book = new AddressBook(records);
  const seen: string[] = [];
  for (let round = 0; round < 5; round++) {
    const place = book.reserve(net, request('short'));
    seen.push(place.address);
    book.release(place);
  }
  assert.equal(new Set(seen).size, 5);
});

test('a pod has one place on a network, and a card for each of its networks while there are any', () => {
  const nets = Array.from({ length: MAX_FURTHER_NETWORKS + 2 }, () => network());
  const [first, second, third, ...others] = nets as [Network, Network, Network, ...Network[]];
  const book = new AddressBook(records);
  const cards = (): number[] => book.of('p' as PodId).map(({ card }) => card);
  book.reserve(first, request('p'));
  const place = book.reserve(second, request('p'));
  book.reserve(third, request('p'));
  assert.throws(
    () => book.reserve(third, request('p')),
    (error) => isHyperError(error, 'conflict') && /it is on it already/.test(error.message),
  );
  book.release(place);
  assert.deepEqual(cards(), [0, 2]);
  assert.equal(book.reserve(second, request('p'), [1]).card, 3, 'a slot that is not empty is passed over');
  for (const net of others.slice(1)) book.reserve(net, request('p'));
  assert.deepEqual(cards(), [0, 1, 2, 3, 4]);
  assert.throws(
    () => book.reserve(others[0] as Network, request('p')),
    (error) => isHyperError(error, 'limit') && /it is on 5 networks/.test(error.message),
  );
  const again = new AddressBook(records);
  assert.deepEqual(again.of('p' as PodId), book.of('p' as PodId), 'after a restart');
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
    const net = records.networks().find(({ name }) => name === 'apart') ?? network('apart', '10.3.0');
    if (book.of('holder' as PodId).length === 0)
      book.reserve(net, request('holder', { address: '10.3.0.3', mac: '02:00:00:00:00:09' }));
    assert.throws(
      () => book.reserve(net, request('late', more)),
      (error) => isHyperError(error, code) && message.test(error.message),
    );
    assert.deepEqual(book.of('late' as PodId), []);
  });
}
