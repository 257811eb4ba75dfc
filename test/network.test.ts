import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, isIPv6 } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { serveDns } from './support/dns-server.ts';
import { hostAddress, netPod } from './support/net-tool.ts';
import { atStart, sharedClient, sharedDaemon, sharedDirectory } from './support/shared.ts';

/** Another resolver of the host is only to be had, and port 53 only to be served, by root. */
const isRoot = process.getuid?.() === 0;
/** A loopback address that nobody else has a resolver at. */
const RESOLVER = '127.0.53.77';

const resolvConf = join(sharedDirectory('net-'), 'resolv.conf');
writeFileSync(resolvConf, `nameserver ${RESOLVER}\nsearch host.example\noptions timeout:3\n`);
const mount = `mount --bind ${resolvConf} /etc/resolv.conf && exec "$@"`;
const daemon = sharedDaemon(isRoot ? { runner: ['unshare', '-m', 'sh', '-ec', mount, 'sh'] } : {});
const client = sharedClient(daemon);
atStart(async () => {
  await client.createPod(netPod('net', ['serve']));
  await client.startPod('net');
});

const exec = (...command: string[]) => daemon.hyperctl(['exec', 'net', ...command]);

/** Servers of this process on one address: what comes is answered with what it is. */
async function serveAt(address: string): Promise<AsyncDisposable & { readonly port: number }> {
  const tcp = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end('over tcp\n');
  });
  tcp.listen(0, address);
  await once(tcp, 'listening');
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  udp.on('message', (_, peer) => udp.send('over udp', peer.port, peer.address));
  udp.bind(port, address);
  await once(udp, 'listening');
  return {
    port,
    async [Symbol.asyncDispose]() {
      await udp[Symbol.asyncDispose]();
      await tcp[Symbol.asyncDispose]();
    },
  };
}

test('a pod reaches servers outside, over tcp and udp', { skip: !hostAddress() }, async () => {
  const address = hostAddress() ?? '';
  await using server = await serveAt(address);
  assert.equal((await exec('nc', address, `${server.port}`)).stdout, 'over tcp\n');
  assert.equal((await exec('/net-tool', 'ask', address, `${server.port}`, 'x')).stdout, 'over udp');
});

test('a pod reaches servers outside over IPv6, where the host has it', {
  skip: !hostAddress('IPv6'),
}, async () => {
  const address = hostAddress('IPv6') ?? '';
  await using server = await serveAt(address);
  assert.equal((await exec('nc', address, `${server.port}`)).stdout, 'over tcp\n');
});

test("what listens on the host's loopback address is out of a pod's reach", async () => {
  await using server = await serveAt('127.0.0.1');
  for (const address of ['10.0.2.2', '255.255.255.255']) {
    assert.equal((await exec('/net-tool', 'ask', address, `${server.port}`, 'x')).stdout, '', address);
  }
  const { code, stdout } = await exec('nc', '-w', '5', '10.0.2.2', `${server.port}`);
  assert.deepEqual([code, stdout], [1, '']);
});

test('nor is what listens there over IPv6', { skip: !hostAddress('IPv6') }, async () => {
  await using server = await serveAt('::1');
  const gateway = /default via (\S+)/.exec((await exec('ip', '-6', 'route')).stdout)?.[1] ?? '';
  assert.match(gateway, /^fd00:.*:2$/);
  const { code, stdout } = await exec('nc', '-w', '5', gateway, `${server.port}`);
  assert.deepEqual([code, stdout], [1, '']);
});

test('names are looked up by the resolver of the host, also where that is on loopback', {
  skip: !isRoot,
}, async () => {
  await using _server = await serveDns(RESOLVER, { 'www.host.example': '198.51.100.7' });
  assert.match((await exec('nslookup', 'www.host.example')).stdout, /Address:? .*198\.51\.100\.7/);
  assert.match((await exec('ping', '-c', '1', '-W', '1', 'www')).stdout, /^PING www \(198\.51\.100\.7\)/);
  assert.equal(
    (await exec('cat', '/etc/resolv.conf')).stdout,
    'nameserver 10.0.2.3\nsearch host.example\noptions timeout:3\n',
  );
});

test("a pod's own name servers, host name and files in /etc are there at every start", async () => {
  const files = [{ path: '/etc/', filename: 'hosts', perm: '0644' }];
  await client.createPod({
    ...{ id: 'named', hostname: 'db.internal', dns: ['192.0.2.53'] },
    ...{ dnsSearch: ['a.example', 'b.example'], dnsOptions: ['ndots:2'] },
    files: [{ name: 'hosts', content: '192.0.2.1 mine\n' }],
    containers: [
      { name: 'own', image: 'busybox', command: ['sleep', '1000'], files },
      { name: 'plain', image: 'busybox', command: ['sleep', '1000'] },
    ],
  });
  const read = async (container: string, path: string): Promise<string> =>
    (await daemon.hyperctl(['exec', container, 'cat', path])).stdout;
  for (const round of ['first', 'second']) {
    await client.startPod('named');
    const resolvConf = 'nameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:2\n';
    assert.equal(await read('own', '/etc/resolv.conf'), resolvConf, round);
    assert.equal(await read('own', '/etc/hosts'), '192.0.2.1 mine\n', round);
    assert.match(await read('plain', '/etc/hosts'), /^127\.0\.0\.1\tlocalhost\n.*\tdb\.internal\n$/s, round);
    assert.equal((await daemon.hyperctl(['exec', 'plain', 'hostname'])).stdout, 'db.internal\n', round);
    await daemon.hyperctl(['kill', '-p', 'named']);
  }
  await client.removePod('named');
});

test('white lists of port mappings are refused in the user-mode network, saying what to do', async () => {
  const portmappingWhiteLists = { internalNetworks: ['10.0.0.0/8'], externalNetworks: ['0.0.0.0/0'] };
  await assert.rejects(client.createPod({ portmappingWhiteLists }), { status: 501, message: /hostIP/ });
  const wrong = { internalNetworks: ['10.0.0.0/8'], externalNetworks: ['fd00::/8'] };
  await assert.rejects(client.createPod({ portmappingWhiteLists: wrong }), {
    message: /"portmappingWhiteLists\.externalNetworks\[0\]" is "fd00::\/8", want IPv4/,
  });
});
