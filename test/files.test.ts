import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type CommandResult, eventually } from './support/daemon.ts';
import { sharedDaemon } from './support/shared.ts';

const daemon = sharedDaemon();

let count = 0;
/** Creates and starts a pod of one container, `ID-c`, with these files. */
async function runPod(
  files: object[],
  references: object[],
  script: string,
): Promise<CommandResult & { readonly id: string }> {
  const id = `files-${++count}`;
  const path = join(daemon.root, `${id}.json`);
  const container = { name: `${id}-c`, image: 'busybox', files: references, command: ['sh', '-c', script] };
  writeFileSync(path, JSON.stringify({ id, files, containers: [container] }));
  return { id, ...(await daemon.hyperctl(['run', '-p', path])) };
}

async function outputOf(id: string): Promise<string> {
  await daemon.hyperctl(['wait', `${id}-c`]);
  return (await daemon.hyperctl(['logs', `${id}-c`])).stdout;
}

test('files of the specification are in the container with their owners and modes, from text, base64, file and URL', async () => {
  const host = join(daemon.root, 'of the host');
  writeFileSync(host, 'from a file');
  const server = createServer((_request, response) => response.end('from a URL')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const large = Buffer.alloc(3_000_000, 'large');
  const { id, code, stdout } = await runPod(
    [
      { name: 'text', content: 'ünï\n' },
      { name: 'large', encoding: 'base64', content: large.toString('base64') },
      { name: 'host', uri: pathToFileURL(host).href },
      { name: 'url', uri: `http://127.0.0.1:${port}/` },
    ],
    [
      { path: '/etc/app/', filename: 'text', perm: '0640', user: '7', group: '8' },
      { path: '/made/on the way/large', filename: 'large', perm: '0400' },
      { path: '/host', filename: 'host' },
      { path: '/url', filename: 'url' },
    ],
    'stat -c "%n %a %u:%g %s" /etc/app/text "/made/on the way/large" /host; cat /etc/app/text /host /url',
  );
  server.close();
  assert.equal(code, 0, stdout);
  const lines = ['/etc/app/text 640 7:8 6', '/made/on the way/large 400 0:0 3000000', '/host 755 0:0 11'];
  assert.equal(await outputOf(id), `${lines.join('\n')}\nünï\nfrom a filefrom a URL\n`);
});

test('files are given once: what the container makes of them stays over a restart', async () => {
  const { id } = await runPod(
    [{ name: 'f', content: 'given' }],
    [{ path: '/f', filename: 'f' }],
    'cat /f; echo " then changed" >/f',
  );
  assert.equal(await outputOf(id), 'given\n');
  await eventually('the pod has ended', async () =>
    /succeeded/.test((await daemon.hyperctl(['list'])).stdout),
  );
  await daemon.hyperctl(['start', id]);
  assert.equal(await outputOf(id), 'given\n then changed\n');
  await daemon.hyperctl(['rm', id]);
});

const refused: readonly (readonly [string, object, object, RegExp])[] = [
  ['a file of the host that is not there', { uri: 'file:///nonexistent' }, {}, /file f: ENOENT/],
  ['a directory', { uri: 'file:///etc' }, {}, /file f: .*no regular file/],
  ['a URL of another kind', { uri: 'ftp://x/y' }, {}, /file f: .*want a URL with http/],
  [
    'text that is not base64',
    { encoding: 'base64', content: '***' },
    {},
    /file f: its content is not base64/,
  ],
  ['an owner by name', { content: 'x' }, { user: 'daemon' }, /user "daemon" is no number/],
  ['more than a file may have', { uri: 'file:///dev/zero' }, {}, /no regular file/],
];
for (const [what, file, reference, message] of refused) {
  test(`a pod with ${what} is refused, and nothing of it is left`, async () => {
    const { id, code, stdout, stderr } = await runPod(
      [{ name: 'f', ...file }],
      [{ path: '/f', filename: 'f', ...reference }],
      'true',
    );
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, message);
    assert.doesNotMatch((await daemon.hyperctl(['list'])).stdout, new RegExp(id));
    assert.ok(
      !readdirSync(daemon.root).includes('pods') || !readdirSync(join(daemon.root, 'pods')).includes(id),
    );
  });
}

/** Calls the archive route; resolves with status and body. */
function archive(
  method: 'GET' | 'PUT',
  container: string,
  path: string,
  tar?: Buffer,
): Promise<{ status: number; body: Buffer }> {
  const query = new URLSearchParams({ container, path });
  return new Promise((resolve, reject) => {
    const sent = request(
      { socketPath: daemon.socket, method, path: `/container/archive?${query}` },
      async (response) => {
        try {
          resolve({ status: response.statusCode ?? 0, body: await buffer(response) });
        } catch (error) {
          reject(error);
        }
      },
    );
    sent.on('error', reject);
    sent.end(tar);
  });
}

const listing = (tar: Buffer): string[] =>
  execFileSync('tar', ['-t'], { input: tar }).toString().trim().split('\n').sort();

test('tars go in and out of a container that runs, and of one that does not', async () => {
  const source = mkdtempSync(join(tmpdir(), 'hyf-'));
  mkdirSync(join(source, 'd/sub'), { recursive: true });
  writeFileSync(join(source, 'd/sub/large'), Buffer.alloc(5_000_000, 'data '));
  symlinkSync('sub/large', join(source, 'd/link'));
  const tar = execFileSync('tar', ['-c', '-C', source, 'd'], { maxBuffer: 1 << 28 });
  const path = join(daemon.root, 'two.json');
  const containers = [
    { name: 'runs', image: 'busybox', command: ['sleep', '1000'] },
    { name: 'ended', image: 'busybox', command: ['sh', '-c', 'echo old > /file'] },
  ];
  writeFileSync(path, JSON.stringify({ id: 'two', containers }));
  await daemon.hyperctl(['run', '-p', path]);
  await daemon.hyperctl(['wait', 'ended']);
  for (const container of ['runs', 'ended']) {
    assert.equal((await archive('PUT', container, '/made/here', tar)).status, 200, container);
    const { status, body } = await archive('GET', container, '/made/here/d');
    assert.equal(status, 200);
    assert.deepEqual(listing(body), ['d/', 'd/link', 'd/sub/', 'd/sub/large']);
    const content = execFileSync('tar', ['-xO', 'd/sub/large'], { input: body, maxBuffer: 1 << 28 });
    assert.ok(content.equals(Buffer.alloc(5_000_000, 'data ')));
  }
  const sum = await daemon.hyperctl([
    'exec',
    'runs',
    'sh',
    '-c',
    'readlink /made/here/d/link; wc -c < /made/here/d/link',
  ]);
  assert.equal(sum.stdout, 'sub/large\n5000000\n');
  const old = await archive('GET', 'ended', '/file');
  assert.equal(execFileSync('tar', ['-xO'], { input: old.body }).toString(), 'old\n');
  await daemon.hyperctl(['start', '-c', 'ended']);
  rmSync(source, { recursive: true });
});

const wrongArchives: readonly (readonly ['GET' | 'PUT', string, string, number, RegExp])[] = [
  ['GET', 'runs', '/none', 404, /pack "\/none": .*No such file/],
  ['GET', 'runs', 'relative', 404, /want an absolute one/],
  ['PUT', 'runs', '/etc/hostname', 400, /no directory/],
  ['PUT', 'runs', '/tmp', 400, /cut off|checksum/],
  ['GET', 'nobody', '/', 404, /nobody/],
];
for (const [method, container, path, status, message] of wrongArchives) {
  test(`${method} of ${path} of ${container} is answered with ${status}`, async () => {
    const answer = await archive(
      method,
      container,
      path,
      method === 'PUT' ? Buffer.alloc(700, 'x') : undefined,
    );
    assert.equal(answer.status, status, answer.body.toString());
    assert.match(answer.body.toString(), message);
  });
}
