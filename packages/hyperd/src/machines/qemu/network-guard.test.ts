import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { guarded, requireGuarded } from './network-guard.ts';

const repository = join(import.meta.dirname, '../../../../..');
const path = join(repository, 'build/host/network-guard.so');

const hasIpv6 = networkInterfaces().lo?.some(({ family }) => family === 'IPv6') ?? false;

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'guard-'));
  execFileSync('gcc', ['-o', join(directory, 'probe'), join(repository, 'host/network-guard-probe.c')]);
});
after(() => rmSync(directory, { recursive: true }));

/** What the probe says when it runs as QEMU does. */
function probe(args: readonly string[], hostLoopback = false, template?: string): string {
  const options = { ...guarded({ path, hostLoopback, template }), encoding: 'utf8' } as const;
  return execFileSync(join(directory, 'probe'), args, options).trim();
}

for (const address of ['127.0.0.1', '127.9.9.9', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1']) {
  const skip = address.includes(':') && !hasIpv6;
  test(`a machine does not connect to ${address}, unless the host's loopback is open to it`, { skip }, () => {
    assert.equal(probe(['connect', address]), 'refused');
    assert.equal(probe(['connect', address], true), 'connected');
  });
}

test('a machine answers datagrams that came from loopback; others it sends there only to port 53', () => {
  assert.equal(probe(['datagrams']), 'before: refused\nafter: sent\nother: refused\ndns: sent');
});

test("what a machine drops of its template's memory stays in the file; a file of its own loses it", () => {
  const file = join(directory, 'memory');
  writeFileSync(file, Buffer.alloc(8192, 1));
  assert.equal(probe(['punch', file], false, file), 'punched'); // so says the call, or QEMU would keep its own copies
  assert.deepEqual(readFileSync(file), Buffer.alloc(8192, 1));
  assert.equal(probe(['punch', file], false, `${file}-of-a-template`), 'punched');
  assert.equal(readFileSync(file)[0], 0);
});

test('a machine cannot take all sockets of the host', () => {
  assert.ok(Number(probe(['files'])) <= 8192);
});

test('a process without the guard is told from one that has it', async () => {
  const guard = { path, hostLoopback: false };
  await assert.rejects(requireGuarded(process.pid, guard), /does not load the network guard/);
});
