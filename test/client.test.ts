import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CommandResult, collect } from './support/daemon.ts';
import { sharedDaemon } from './support/shared.ts';

const repository = join(import.meta.dirname, '..');
const examples = join(repository, 'packages/client/examples');
process.env.NODE_DISABLE_COMPILE_CACHE = '1'; // npm and tsc would leave theirs behind
const daemon = sharedDaemon();

function run(node: string, args: readonly string[]): Promise<CommandResult> {
  const env = { ...process.env, HYPER_HOST: `unix://${daemon.socket}` };
  return collect(spawn(node, [...args], { cwd: daemon.root, env }));
}

const EXPECTED: Readonly<Record<string, string | RegExp>> = {
  'run-pod.ts': 'TYPED BY A PROGRAM\nexit code 3\n',
  'exec.ts':
    /^\{ output: 'in the pod 42\\n', exitCode: 0 \}\n\{ output: '', exitCode: 1 \}\n1 root sleep 1000\n$/,
  'follow-events.ts': /^it has ended: Failed, 7\n(?:.*\n)*container die 7\n(?:.*\n)*pod destroy \n$/,
  'copy-files.ts': 'there and back: hello\n',
  'logs-and-stats.ts': 'line 1\nline 2\nline 3\ntrue true true\n404 not-found\n',
};

test('every example has a test', () => {
  assert.deepEqual(readdirSync(examples).sort(), Object.keys(EXPECTED).sort());
});

for (const [example, expected] of Object.entries(EXPECTED)) {
  test(`the example ${example} does what it says, and ends by itself`, async () => {
    const { code, stdout, stderr } = await run(process.execPath, [join(examples, example)]);
    assert.equal(code, 0, stderr);
    assert.equal(stderr, example === 'run-pod.ts' ? 'done\n' : '');
    if (typeof expected === 'string') assert.equal(stdout, expected);
    else assert.match(stdout, expected);
  });
}

test('the package is plain JavaScript with types, for the oldest Node that it promises where there is one', async () => {
  const work = join(daemon.root, 'consumer');
  const installed = join(work, 'node_modules/@hyperd/client');
  mkdirSync(join(work, 'node_modules/@hyperd'), { recursive: true });
  const made = spawnSync(process.execPath, [
    '-e',
    `import('${repository}/scripts/client-package.mjs').then(({ makeClientPackage }) => makeClientPackage(${JSON.stringify(installed)}))`,
  ]);
  assert.equal(made.status, 0, made.stderr.toString());
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', installed], { encoding: 'utf8' }),
  ) as { files: { path: string }[] }[];
  const paths = (packed?.files ?? []).map(({ path }) => path);
  assert.ok(
    ['LICENSE', 'README.md', 'package.json', 'dist/index.js', 'dist/index.d.ts'].every((path) =>
      paths.includes(path),
    ),
  );
  assert.ok(!paths.some((path) => /test|\.map$|(?<!\.d)\.ts$/.test(path)), paths.join());

  const source = readFileSync(join(examples, 'run-pod.ts'), 'utf8').replace('using client', 'const client');
  writeFileSync(join(work, 'run.mjs'), `${source}\nclient[Symbol.dispose]();\n`);
  for (const node of [process.execPath, ...otherNodes()]) {
    const { code, stdout, stderr } = await run(node, [join(work, 'run.mjs')]);
    assert.deepEqual([code, stdout], [0, EXPECTED['run-pod.ts']], `${node}: ${stderr}`);
  }

  cpSync(examples, join(work, 'examples'), { recursive: true });
  symlinkSync(join(repository, 'node_modules/@types'), join(work, 'node_modules/@types'));
  symlinkSync(join(repository, 'node_modules/undici-types'), join(work, 'node_modules/undici-types'));
  writeFileSync(join(work, 'package.json'), '{"type":"module"}');
  const settings = {
    target: 'es2022',
    lib: ['es2024', 'esnext.disposable'],
    module: 'nodenext',
    strict: true,
    noEmit: true,
    types: ['node'],
  };
  writeFileSync(
    join(work, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: settings, include: ['examples'] }),
  );
  const checked = spawnSync(
    process.execPath,
    [join(repository, 'node_modules/typescript/bin/tsc'), '-p', work],
    { encoding: 'utf8' },
  );
  assert.deepEqual(
    [checked.status, checked.stdout],
    [0, ''],
    'its types check, without looking away from libraries',
  );
});

/** Further versions of Node on this machine that the package is for. */
function otherNodes(): string[] {
  return (process.env.PATH ?? '')
    .split(':')
    .filter((directory) => !directory.includes('node_modules'))
    .map((directory) => join(directory, 'node'))
    .filter((path) => existsSync(path))
    .filter((path) => {
      const [, major, minor] =
        /^v(\d+)\.(\d+)/.exec(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout) ?? [];
      return Number(major) > 20 || (Number(major) === 20 && Number(minor) >= 16);
    });
}
