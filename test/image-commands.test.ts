import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { createZstdCompress } from 'node:zlib';
import type { TarEntry } from '../packages/hyperd/src/tar/tar-scanner.ts';
import { TAR_END, tarHeader } from '../packages/hyperd/src/tar/tar-writer.ts';
import { type CommandResult, collect, eventually, startDaemon, type TestDaemon } from './support/daemon.ts';
import { makeCertificates, startOdd } from './support/hostile-registry.ts';
import { filesOf } from './support/image-store.ts';
import { busyboxLayer, type LayerEntry, layerTar, makeImage, type SampleImage } from './support/images.ts';
import { startRegistry, TEST_LOGIN, type TestRegistry } from './support/registry.ts';
import { serve } from './support/served-images.ts';

let daemon: TestDaemon;
let open: TestRegistry;
/** Over TLS, for those who log in. */
let closed: TestRegistry;
let directory: string;
/** Where hyperctl keeps credentials. */
let dockerConfig: string;
before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'hyc-'));
  dockerConfig = join(directory, 'docker');
  const certificates = makeCertificates(directory, 'registry');
  const certs = join(directory, 'certs.d');
  [daemon, open, closed] = await Promise.all([
    startDaemon({ args: ['--certs-dir', certs] }),
    startRegistry(),
    startRegistry({ login: true, tls: certificates }),
  ]);
  mkdirSync(join(certs, closed.host), { recursive: true });
  copyFileSync(certificates.authority, join(certs, closed.host, 'ca.crt'));
});
after(async () => {
  for (const part of [daemon, open, closed]) await part[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const file = (name: string, data: string): LayerEntry => ({ name, type: 'file', data });
const config = (): Record<string, unknown> =>
  JSON.parse(readFileSync(join(dockerConfig, 'config.json'), 'utf8'));

function hyperctl(args: readonly string[], input?: string, path = process.env.PATH): Promise<CommandResult> {
  const env = { DOCKER_CONFIG: dockerConfig, PATH: path };
  return daemon.hyperctl(args, { env, ...(input !== undefined && { input }) });
}

/** As `hyperctl`, and it has to succeed. */
async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await hyperctl(args);
  assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

const skopeo = (...args: string[]): string =>
  execFileSync('skopeo', ['--insecure-policy', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

let made = 0;
/** An image in the daemon's store with a name of its own. */
async function loaded(name: string, image: SampleImage): Promise<void> {
  const layout = join(directory, `layout-${++made}`);
  makeImage(layout, image);
  const archive = join(directory, `${made}.tar`);
  execFileSync('tar', ['-cf', archive, '-C', layout, '.']);
  await done('load', '-i', archive, '-n', name);
}

const forget = (): void => rmSync(dockerConfig, { recursive: true, force: true });
const login = (password = TEST_LOGIN.password): Promise<CommandResult> =>
  hyperctl(['login', '-u', TEST_LOGIN.username, '--password-stdin', closed.host], `${password}\n`);

test('a login is kept where Docker keeps it, is sent by push and pull, and is forgotten by logout', async () => {
  forget();
  mkdirSync(dockerConfig);
  const others = { auths: { 'other.example': { auth: 'YTpi' } }, HttpHeaders: { a: 'b' } };
  writeFileSync(join(dockerConfig, 'config.json'), JSON.stringify(others), { mode: 0o644 });
  const wrong = await login('wrong');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /Wrong login\/password/);
  assert.deepEqual(config(), others);

  const right = await login();
  assert.equal(right.code, 0, right.stderr);
  assert.match(right.stdout, /^WARNING: login credentials saved in .*config\.json\nLogin Succeeded\n$/);
  const auth = Buffer.from(`${TEST_LOGIN.username}:${TEST_LOGIN.password}`).toString('base64');
  assert.deepEqual(config(), { ...others, auths: { ...others.auths, [closed.host]: { auth } } });
  assert.equal(statSync(join(dockerConfig, 'config.json')).mode & 0o777, 0o600);
  assert.match((await hyperctl(['login', `https://${closed.host}/v2/`])).stdout, /Login Succeeded/);

  const name = `${closed.host}/team/app:1`;
  await loaded('private:1', { layers: [[file('a', randomBytes(100).toString('hex'))]] });
  await done('tag', 'private:1', name);
  const pushed = /1: digest: (sha256:\w{64}) size: \d+\n$/.exec(await done('push', name))?.[1];
  await done('rmi', '-f', name, 'private:1');
  assert.match(await done('pull', name), new RegExp(`Digest: ${pushed}\n`));

  assert.equal(await done('logout', closed.host), `Removed login credentials for ${closed.host}\n`);
  assert.deepEqual(config(), others);
  assert.equal(await done('logout', closed.host), `Not logged in to ${closed.host}\n`);
  const refused = await hyperctl(['push', name]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /hyperctl ERROR: .*401/);
  await done('rmi', '-f', name);
});

test('a credential helper keeps the login in place of the file', async () => {
  forget();
  const programs = join(directory, 'programs');
  const kept = join(directory, 'kept.json');
  mkdirSync(programs);
  mkdirSync(dockerConfig);
  const helper = join(programs, 'docker-credential-test');
  writeFileSync(
    helper,
    `#!/bin/sh
case $1 in
store) cat > ${kept} ;;
get) if [ -e ${kept} ]; then cat ${kept}; else echo 'credentials not found in native keychain'; exit 1; fi ;;
erase) rm ${kept} ;;
esac
`,
  );
  chmodSync(helper, 0o755);
  const path = [programs, process.env.PATH].join(delimiter);
  const run = (args: readonly string[], input?: string) => hyperctl(args, input, path);
  writeFileSync(
    join(dockerConfig, 'config.json'),
    JSON.stringify({ credHelpers: { [closed.host]: 'test' } }),
  );

  const result = await run(['login', '-u', 'tester', '--password-stdin', closed.host], TEST_LOGIN.password);
  assert.equal(result.stdout, 'Login Succeeded\n', result.stderr);
  assert.deepEqual(JSON.parse(readFileSync(kept, 'utf8')), {
    ...{ ServerURL: closed.host, Username: TEST_LOGIN.username, Secret: TEST_LOGIN.password },
  });
  assert.deepEqual(config(), { credHelpers: { [closed.host]: 'test' }, auths: { [closed.host]: {} } });
  assert.equal((await run(['login', closed.host])).stdout, 'Login Succeeded\n');
  assert.equal((await run(['logout', closed.host])).code, 0);
  assert.ok(!existsSync(kept));

  const without = await hyperctl(['pull', `${closed.host}/none:1`]);
  assert.match(without.stderr, /^WARNING: run "docker-credential-test get": there is no such program/);
  assert.match(without.stderr, /hyperctl ERROR: .*401/);
});

test('push asks for a login on a terminal where the registry wants one, and shows no password', async () => {
  forget();
  const name = `${closed.host}/asked:1`;
  await loaded(name, { layers: [[file('a', 'asked')]] });
  const hyperctlPath = join(import.meta.dirname, '../bin/hyperctl');
  const terminal = spawn('script', ['-qec', `${hyperctlPath} push ${name}`, '/dev/null'], {
    env: { ...process.env, HYPER_HOST: `unix://${daemon.socket}`, DOCKER_CONFIG: dockerConfig },
  });
  const answers = new Map([
    ['Username', TEST_LOGIN.username],
    ['Password', TEST_LOGIN.password],
  ]);
  terminal.stdout.on('data', (chunk: Buffer) => {
    for (const [question, answer] of answers) {
      if (!chunk.includes(`${question}`)) continue;
      answers.delete(question);
      terminal.stdin.write(`${answer}\n`);
    }
  });
  const shown: Buffer[] = [];
  terminal.stdout.on('data', (chunk: Buffer) => shown.push(chunk));
  const code = await new Promise((resolve) => terminal.once('close', resolve));
  const text = Buffer.concat(shown).toString();
  assert.equal(code, 0, text);
  assert.match(
    text,
    /Please log in[\s\S]*Username for localhost:\d+: tester\r\nPassword: \r\n[\s\S]*Login Succeeded/,
  );
  assert.match(text, /digest: sha256:/);
  assert.ok(!text.includes(TEST_LOGIN.password));
  await done('rmi', name);
  forget();
});

for (const format of ['docker', 'oci'] as const) {
  test(`what save writes as ${format} goes through skopeo and back with its configuration and layers`, async () => {
    const name = `${open.host}/kept:1`;
    const image = {
      layers: [[file('base', 'b'.repeat(5000))], [file('top', 't')]],
      config: { Cmd: ['/bin/sh', '-c', 'x'], Labels: { a: 'b' }, ExposedPorts: { '80/tcp': {} } },
    };
    await loaded(name, image);
    const archive = join(directory, `saved-${format}.tar`);
    await done('save', '-f', format, '-o', archive, name);
    const inspect = (source: string) => {
      const { created, config, rootfs } = JSON.parse(
        skopeo('inspect', '--tls-verify=false', '--config', source),
      );
      return { created, config, rootfs };
    };
    const source =
      format === 'docker' ? `docker-archive:${archive}:${name}` : `oci-archive:${archive}:${name}`;
    const original = inspect(`oci:${join(directory, `layout-${made}`)}:latest`);
    assert.deepEqual(inspect(source), original);
    const back = join(directory, `back-${format}.tar`);
    skopeo('copy', '-q', source, `${format}-archive:${back}:${open.host}/back:1`);
    await done('load', '-i', back);
    skopeo('copy', '-q', '--dest-tls-verify=false', source, `docker://${open.host}/from-${format}:1`);
    await done('pull', `${open.host}/from-${format}:1`);
    await done('push', `${open.host}/back:1`);
    for (const copy of ['back', `from-${format}`]) {
      assert.deepEqual(inspect(`docker://${open.host}/${copy}:1`), original);
      await done('rmi', `${open.host}/${copy}:1`);
    }
    await done('rmi', name);
  });
}

test('save gives names, several images, and nothing half-written', async () => {
  await loaded('some:1', { layers: [[file('a', '1')]] });
  await loaded('some:2', { layers: [[file('a', '2')]] });
  const archive = join(directory, 'names.tar');
  await done('save', '-f', 'oci', '-r', 'some:1=first', '-r', 'some:2=second', '-o', archive, 'some');
  await done('rmi', 'some:1', 'some:2');
  await done('load', '-i', archive, '-r', 'first=renamed:1', '-q');
  const listed = (await done('images', '--format', 'json'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    listed.filter(({ Repository }) => ['some', 'renamed'].includes(Repository)).map((row) => row.Tag),
    ['1'],
  );
  const before = readFileSync(archive);
  const missing = await hyperctl(['save', '-o', archive, 'renamed:1', 'nothing:1']);
  assert.match(missing.stderr, /hyperctl ERROR: No such image: nothing:1/);
  assert.ok(readFileSync(archive).equals(before), 'a failed save leaves the file that is there');
  assert.match((await hyperctl(['save', '-f', 'zip', 'renamed:1'])).stderr, /"zip", want docker or oci/);
  const terminal = spawn(
    'script',
    ['-qec', `${join(import.meta.dirname, '../bin/hyperctl')} save renamed:1`, '/dev/null'],
    {
      env: { ...process.env, HYPER_HOST: `unix://${daemon.socket}` },
    },
  );
  const { code, stdout } = await collect(terminal);
  assert.equal(code, 1);
  assert.match(stdout, /does not write an archive to a terminal/);
  await done('rmi', 'renamed:1');
});

for (const [what, code] of [
  ['interrupted', 130],
  ['broken off by the daemon', 1],
] as const) {
  test(`a save that is ${what} leaves nothing half-written`, async () => {
    const folder = mkdtempSync(join(directory, 'half-'));
    await using slow = await startOdd((_, response) => {
      response.writeHead(200).write(Buffer.alloc(100_000));
      if (code === 1) setTimeout(() => response.destroy(), 200);
    });
    const save = daemon.spawnHyperctl([
      '-H',
      `tcp://127.0.0.1:${slow.port}`,
      'save',
      '-o',
      join(folder, 'x.tar'),
      'x',
    ]);
    const result = collect(save);
    await eventually('it writes', () => readdirSync(folder).length > 0);
    if (code === 130) save.kill('SIGINT');
    assert.equal((await result).code, code);
    assert.deepEqual(readdirSync(folder), []);
  });
}

test('import makes an image of a file, of stdin and of a URL, that runs as its changes say', async () => {
  const tar = join(directory, 'tree.tar');
  writeFileSync(tar, layerTar([...busyboxLayer(), file('mark', 'imported')]));
  const changes = ['-c', 'CMD ["cat", "/mark"]', '-c', 'ENV PATH=/bin'];
  const id = (await done('import', '-m', 'by hand', ...changes, tar, 'imported:1')).trim();
  assert.match(id, /^sha256:[0-9a-f]{64}$/);
  assert.equal((await hyperctl(['run', '--rm', 'imported:1'])).stdout, 'imported');
  assert.match(await done('history', 'imported:1'), /^IMAGE .*COMMENT\n\w{12} .*by hand\n$/);

  const packed = execFileSync('xz', ['-c', tar]);
  const server = createServer((_, response) => response.end(packed)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tree.tar.xz`;
    await done('import', url, 'imported:url');
  } finally {
    server.close();
  }
  const fromStdin = await daemon.hyperctl(['import', '-'], { input: readFileSync(tar).toString('latin1') });
  assert.equal(fromStdin.code, 1, 'what is no tar any more is refused');
  assert.match(fromStdin.stderr, /hyperctl ERROR: .*archive/);
  assert.match((await hyperctl(['import', '-c', 'RUN ls', tar])).stderr, /RUN ls/);
  assert.match((await hyperctl(['import', join(directory, 'none.tar')])).stderr, /ENOENT/);
  await done('rmi', '-f', 'imported:1', 'imported:url');
});

test('images are listed, named, told of, and pruned', async () => {
  await loaded('list/one:1', { layers: [[file('a', '1')]], config: { Labels: { kind: 'first' } } });
  await loaded('list/two:1', { layers: [[file('a', '2')]] });
  await done('tag', 'list/one:1', 'list/one:again');
  const names = async (...args: string[]): Promise<string[]> =>
    (await done('images', ...args))
      .split('\n')
      .slice(1)
      .filter((line) => line.startsWith('list/'))
      .map((line) => line.split(/\s+/, 2).join(':'))
      .sort();
  assert.deepEqual(await names('-a'), ['list/one:1', 'list/one:again', 'list/two:1']);
  assert.deepEqual(await names('list/one'), ['list/one:1', 'list/one:again']);
  assert.deepEqual(await names('-f', 'label=kind=first', '-f', 'reference=list/*:1'), ['list/one:1']);
  assert.deepEqual(await names('-f', 'dangling=true'), []);
  assert.match((await hyperctl(['images', '-f', 'size=1'])).stderr, /want one of before, dangling/);
  const [id = ''] = (await done('images', '-q', '--no-trunc', 'list/two')).trim().split('\n');
  assert.match(id, /^sha256:[0-9a-f]{64}$/);
  assert.equal((await done('images', '-q', 'list/two')).trim(), id.slice(7, 19));
  assert.match(
    await done('images', '-s', '--digests', 'list/two'),
    /DIGEST.*SHARED SIZE {9}UNIQUE SIZE\n.*<none>/,
  );

  await done('tag', 'list/one:1', 'list/two:1');
  assert.match(await done('images', '-f', 'dangling=true'), /<none> +<none>/);
  const pruned = await done('prune');
  assert.match(pruned, new RegExp(`Deleted: ${id}\nTotal reclaimed space: [0-9.]+ \\w+\n$`));
  assert.deepEqual(await names(), ['list/one:1', 'list/one:again', 'list/two:1']);
  assert.match(
    await done('rmi', 'list/one:again'),
    /^Untagged: list\/one:again\nImage\(.*\) is successful to be deleted!\n$/,
  );
  assert.match(
    (await hyperctl(['rmi', (await done('images', '-q', 'list/two')).trim()])).stderr,
    /referenced in multiple repositories/,
  );
  await done('rmi', 'list/one:1', 'list/two:1');
  assert.match((await hyperctl(['history', 'list/one:1'])).stderr, /No such image: list\/one:1/);
});

test('push and pull -a take all tags, -q says only the name', async () => {
  const name = `${open.host}/tags`;
  await loaded(`${name}:1`, { layers: [[file('a', 'tags')]] });
  await done('tag', `${name}:1`, `${name}:two`);
  assert.equal(await done('push', '-a', '-q', name), `${name}\n`);
  await done('rmi', `${name}:1`, `${name}:two`);
  await done('pull', '-a', name);
  assert.equal((await done('images', '-q', name)).trim().split('\n').length, 2);
  assert.equal(await done('pull', '-q', `${name}:two`), `${name}:two\n`);
  assert.match((await hyperctl(['push', name])).stdout, /Using default tag: latest/);
  assert.match((await hyperctl(['push', 'tags'])).stderr, /cannot push a "root" repository/);
  assert.match((await hyperctl(['pull', '-a', `${name}:1`])).stderr, /has a tag or digest/);
  assert.match((await hyperctl(['pull', '--platform', 'x', `${name}:1`])).stderr, /want OS\/ARCHITECTURE/);
  await done('rmi', `${name}:1`, `${name}:two`);
});

test('the memory of the daemon does not grow with the size of an image', async () => {
  const before = peakMemoryMib();
  const tar = [tarHeader(ZEROS), ...Array(512).fill(Buffer.alloc(1 << 20))];
  const packed = Readable.from([...tar, TAR_END]).pipe(createZstdCompress());
  const path = join(directory, 'zeros.tar.zst');
  await pipeline(packed, createWriteStream(path));
  await done('import', path, 'zeros:1');
  assert.ok(peakMemoryMib() < Math.max(300, before + 100), `${peakMemoryMib()} MiB, ${before} before`);
  await done('rmi', 'zeros:1');
});

const ZEROS: TarEntry = {
  ...{ name: 'zeros', type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0, linkName: '' },
  ...{ sizeBytes: 512 << 20, deviceMajor: 0, deviceMinor: 0, xattrs: new Map() },
};

function peakMemoryMib(): number {
  const [, kib] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

/** A registry that serves an image and stops in the middle of its layer. */
async function stalling() {
  const image = { layers: [[file('big', 'z'.repeat(3 << 20))]], compression: 'none' } as const;
  const answer = serve([image], ([manifest]) => manifest);
  const [reached, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const server = await startOdd((request, response) => {
    const isLayer =
      request.url?.includes('/blobs/') && server.seen.filter(({ url }) => url.includes('/blobs/')).length > 1;
    if (!isLayer) return answer(request, response);
    response.once('close', gone.resolve);
    response.writeHead(200).write(Buffer.alloc(100_000), () => reached.resolve());
  });
  return { server, reached: reached.promise, gone: gone.promise };
}

test('SIGINT ends a pull in the middle, and the store is as it was', async () => {
  const before = filesOf(daemon.root);
  const { server, reached, gone } = await stalling();
  await using _ = server;
  const pull = daemon.spawnHyperctl(['pull', `${server.host}/half:1`]);
  await reached;
  pull.kill('SIGINT');
  await gone;
  await eventually('what came is removed', () => filesOf(daemon.root).join() === before.join());
  assert.doesNotMatch(await done('images'), /half/);
});

test('kill -9 of the daemon in the middle of a pull and a load leaves nothing of them', async () => {
  const before = filesOf(daemon.root);
  const { server, reached } = await stalling();
  await using _ = server;
  const pull = daemon.spawnHyperctl(['pull', `${server.host}/half:1`]);
  const load = daemon.spawnHyperctl(['load']);
  const ends = [pull, load].map((child) => new Promise((resolve) => child.once('close', resolve)));
  load.stdin?.on('error', () => undefined); // it ends with the daemon
  load.stdin?.write(
    layerTar([file('blobs/sha256/x', 'y'.repeat(2 << 20)), file('z', 'z')]).subarray(0, 1 << 20),
  );
  await reached;
  await eventually('both are half there', () => filesOf(daemon.root).length >= before.length + 3);
  await daemon.kill();
  load.stdin?.end();
  await Promise.all(ends);
  assert.deepEqual([pull.exitCode, load.exitCode], [1, 1]);
  await daemon.restart();
  assert.deepEqual(filesOf(daemon.root), before);
});
