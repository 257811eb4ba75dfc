import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { REPOSITORY } from './steps.mjs';
import { billOfMaterials, faultsOf } from './supply-chain.mjs';

const good = { version: '1.0.0', license: 'MIT', integrity: `sha512-${Buffer.alloc(64).toString('base64')}` };
const lockOf = (changes) => ({
  version: '0.1.0',
  packages: { '': {}, 'node_modules/a': { ...good, ...changes } },
});

test('a lockfile with a registry, without a digest or with another licence is told', () => {
  assert.deepEqual(faultsOf(lockOf({})), []);
  assert.match(faultsOf(lockOf({ resolved: 'https://r.example/a.tgz' })).join(), /names a registry/);
  assert.match(faultsOf(lockOf({ integrity: undefined })).join(), /no digest/);
  assert.match(faultsOf(lockOf({ license: 'GPL-3.0' })).join(), /licence GPL-3.0; want MIT/);
  assert.deepEqual(faultsOf(lockOf({ license: 'GPL-3.0', dev: true })), []);
});

test('the bill of materials is the same each time, with every package that is shipped', () => {
  const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8'));
  const debian = [{ name: 'qemu', version: '1:7.2+x' }];
  const bill = billOfMaterials(lock, debian);
  assert.deepEqual(billOfMaterials(lock, debian), bill);
  const purls = bill.components.map(({ purl }) => purl);
  assert.ok(purls.some((purl) => purl.startsWith('pkg:npm/fastify@')));
  assert.ok(purls.some((purl) => purl.startsWith('pkg:npm/%40grpc/grpc-js@')));
  assert.ok(purls.includes('pkg:deb/debian/qemu@1%3A7.2%2Bx'));
  assert.ok(!purls.some((purl) => purl.startsWith('pkg:npm/typescript@')));
  assert.ok(bill.components.every(({ type, name, version }) => type && name && version));
});
