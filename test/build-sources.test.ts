import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { eventually } from './support/daemon.ts';
import { layerTar } from './support/images.ts';
import { sharedDaemon, sharedDirectory } from './support/shared.ts';

const daemon = sharedDaemon();
const scratch = sharedDirectory('sources-');
const served = new Map<string, Buffer>();
const server = createServer((request, response) => {
  const body = served.get(request.url ?? '');
  response.writeHead(body ? 200 : 404).end(body);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const http = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const git = await startGit();
after(() => {
  git.stop();
  server.close();
});

/** A repository on loopback, with a hook and a configuration that must have no say. */
async function startGit(): Promise<{ readonly url: string; readonly mother: string; stop(): void }> {
  const work = join(scratch, 'repo.git');
  mkdirSync(join(work, 'sub'), { recursive: true });
  const run = (...args: string[]): void => {
    const identity = ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'init.defaultBranch=main'];
    execFileSync('git', [...identity, ...args], { cwd: work, stdio: 'pipe' });
  };
  run('init', '-q');
  writeFileSync(join(work, 'Dockerfile'), 'FROM scratch\nCOPY sub/f /f\n');
  writeFileSync(join(work, 'sub/f'), 'main\n');
  writeFileSync(join(work, 'sub/Dockerfile'), 'FROM scratch\nCOPY . /\n');
  writeFileSync(join(work, '.gitattributes'), 'sub/f export-ignore\n');
  run('add', '.');
  run('commit', '-q', '-m', 'one');
  run('tag', 'v1');
  writeFileSync(join(work, 'sub/f'), 'later\n');
  run('commit', '-q', '-a', '-m', 'two');
  const port = await freePort();
  mkdirSync(join(scratch, 'mother.git'));
  const mother = (...args: string[]): void => {
    const identity = ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'init.defaultBranch=main'];
    execFileSync('git', [...identity, ...args], { cwd: join(scratch, 'mother.git'), stdio: 'pipe' });
  };
  mother('init', '-q');
  writeFileSync(join(scratch, 'mother.git/Dockerfile'), 'FROM scratch\nCOPY child/sub /\n');
  writeFileSync(
    join(scratch, 'mother.git/.gitmodules'),
    '[submodule "c"]\n\tpath = child\n\turl = ../repo.git\n',
  );
  mother('add', '.');
  const first = execFileSync('git', ['rev-parse', 'v1'], { cwd: work, encoding: 'utf8' }).trim();
  mother('update-index', '--add', '--cacheinfo', `160000,${first},child`);
  mother('commit', '-q', '-m', 'with a submodule');
  const options = [
    '--reuseaddr',
    '--export-all',
    `--base-path=${scratch}`,
    '--listen=127.0.0.1',
    `--port=${port}`,
  ];
  const child = spawn('git', ['daemon', ...options, scratch], { stdio: 'ignore', detached: true });
  const url = `git://127.0.0.1:${port}/repo.git`;
  await eventually('git answers', () => {
    try {
      execFileSync('git', ['ls-remote', url], { stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  });
  return {
    url,
    mother: url.replace('repo.git', 'mother.git'),
    stop: () => void process.kill(-(child.pid ?? 0), 'SIGTERM'),
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createNetServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

async function build(...args: string[]): Promise<{ readonly code: number | null; readonly said: string }> {
  const { code, stdout, stderr } = await daemon.hyperctl(['build', '-t', 'made', ...args]);
  return { code, said: stdout + stderr };
}

/** The contents of the files of the image that was made last, by name. */
async function files(): Promise<Record<string, string>> {
  const archive = join(scratch, 'saved.tar');
  await daemon.hyperctl(['save', '-o', archive, 'made']);
  const read = (name: string): Buffer => execFileSync('tar', ['-xOf', archive, name]);
  const [manifest] = JSON.parse(read('manifest.json').toString()) as [{ Layers: string[] }];
  const found: Record<string, string> = {};
  for (const layer of manifest.Layers.map(read))
    for (const name of execFileSync('tar', ['-tz'], { input: layer, encoding: 'utf8' }).split('\n'))
      if (name !== '' && !name.endsWith('/'))
        found[name] = execFileSync('tar', ['-xzO', name], { input: layer, encoding: 'utf8' });
  return found;
}

test('a git repository is a context: at a tag, in a directory, whatever its attributes say', async () => {
  assert.deepEqual(await build(`${git.url}#v1`).then(({ code }) => code), 0);
  assert.deepEqual(await files(), { f: 'main\n' });
  assert.equal((await build(`${git.url}#main:sub`)).code, 0);
  assert.equal((await files()).f, 'later\n');
  const { code, said } = await build(`${git.url}#none`);
  assert.equal(code, 1);
  assert.match(said, /git fetch: .*none/);
});

test('submodules come with a repository, at the commit that it names; .git comes where it is asked for', async () => {
  assert.equal((await build(git.mother)).code, 0);
  assert.deepEqual(await files(), { Dockerfile: 'FROM scratch\nCOPY . /\n', f: 'main\n' });
  served.set('/Dockerfile', Buffer.from(`FROM scratch\nADD --keep-git-dir ${git.mother} /m/\n`));
  const { code, said } = await build(`${http}/Dockerfile`);
  assert.equal(code, 0, said);
  const made = await files();
  assert.equal(made['m/child/sub/f'], 'main\n');
  assert.match(made['m/.git/config'] ?? '', /bare = false[\s\S]*url = git:/);
  const checkout = join(scratch, 'checkout');
  const archive = join(scratch, 'saved.tar');
  const [layer = ''] = JSON.parse(
    execFileSync('tar', ['-xOf', archive, 'manifest.json'], { encoding: 'utf8' }),
  )[0].Layers;
  mkdirSync(checkout);
  execFileSync('tar', ['-xz', '-C', checkout], { input: execFileSync('tar', ['-xOf', archive, layer]) });
  const inside = (...args: string[]): string =>
    execFileSync('git', ['-c', 'safe.directory=*', ...args], { cwd: join(checkout, 'm'), encoding: 'utf8' });
  assert.match(inside('log', '--format=%s'), /^with a submodule\n/);
  assert.equal(inside('status', '--porcelain', '--ignore-submodules'), '');
});

test('a URL is a context or a Dockerfile', async () => {
  const dockerfile = Buffer.from(`FROM scratch\nADD ${git.url}#v1:sub /g/\nADD ${http}/plain /p/\n`);
  served.set('/Dockerfile', dockerfile);
  served.set('/plain', Buffer.from('plain\n'));
  assert.equal((await build(`${http}/Dockerfile`)).code, 0);
  assert.deepEqual(await files(), {
    'g/Dockerfile': 'FROM scratch\nCOPY . /\n',
    'g/f': 'main\n',
    'p/plain': 'plain\n',
  });
  const tar = layerTar([
    { name: 'D', type: 'file', data: 'FROM scratch\nCOPY x /y\n' },
    { name: 'x', type: 'file', data: 'of a tar\n' },
  ]);
  served.set('/context.tar', tar);
  assert.equal((await build('-f', 'D', `${http}/context.tar`)).code, 0);
  assert.deepEqual(await files(), { y: 'of a tar\n' });
});

test('ADD takes what has the digest that it is told, and nothing else', async () => {
  const body = Buffer.from('checked\n');
  served.set('/checked', body);
  const digest = createHash('sha256').update(body).digest('hex');
  const add = async (checksum: string) => {
    served.set(
      '/Dockerfile',
      Buffer.from(`FROM scratch\nADD --chmod=644 --checksum=sha256:${checksum} ${http}/checked /c\n`),
    );
    return build(`${http}/Dockerfile`);
  };
  assert.equal((await add(digest)).code, 0);
  assert.deepEqual(await files(), { c: 'checked\n' });
  const { code, said } = await add('0'.repeat(64));
  assert.equal(code, 1);
  assert.match(said, /digest mismatch/);
});

test('COPY keeps the directories above its sources with --parents, and leaves out what --exclude names', async () => {
  const context = join(scratch, 'parents');
  for (const name of ['a/b/c.txt', 'a/b/d.log', 'a/e.txt', 'a/keep/f.log', 'g.txt']) {
    mkdirSync(dirname(join(context, name)), { recursive: true });
    writeFileSync(join(context, name), `${name}\n`);
  }
  const lines = [
    ...['FROM scratch AS one', 'COPY --parents a/b/c.txt a/e.txt g.txt /p/', 'COPY --parents a/*/*.log /w/'],
    ...['COPY --exclude=**/*.log --exclude=g.txt . /x/', 'COPY --parents ./a/./b/c.txt /pivot/'],
    ...[
      'FROM scratch',
      'COPY --from=one --exclude=*.txt /p/ /from/',
      'COPY --from=one --parents /p/a/b /stage/',
    ],
    ...['COPY --from=one / /one/'],
  ];
  writeFileSync(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
  writeFileSync(join(context, '.dockerignore'), 'Dockerfile\n.dockerignore\n');
  const { code, said } = await build(context);
  assert.equal(code, 0, said);
  assert.deepEqual(Object.keys(await files()).sort(), [
    ...['from/a/b/c.txt', 'from/a/e.txt'],
    ...['one/p/a/b/c.txt', 'one/p/a/e.txt', 'one/p/g.txt', 'one/pivot/b/c.txt', 'one/w/a/b/d.log'],
    ...['one/w/a/keep/f.log', 'one/x/a/b/c.txt', 'one/x/a/e.txt', 'stage/p/a/b/c.txt'],
  ]);
});
