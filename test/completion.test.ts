import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, type TestDaemon } from './support/daemon.ts';
import { atStart, sharedDaemon } from './support/shared.ts';

const hyperctl = join(import.meta.dirname, '../bin/hyperctl');
const daemon = sharedDaemon({ args: ['--host', 'tcp://127.0.0.1:0'] });
let tcp = '';
atStart(async () => {
  await eventually('the log tells where it listens', () => {
    tcp = /tcp:\/\/127\.0\.0\.1:[1-9]\d*/.exec(daemon.log())?.[0] ?? '';
    return tcp !== '';
  });
  for (const [name, label] of [
    ['first', 'tier=front'],
    ['second', 'tier=back'],
  ]) {
    const args = ['run', '-d', '--name', name ?? '', '--label', label ?? ''];
    const { code, stderr } = await daemon.hyperctl([...args, 'busybox', 'sh', '-c', 'echo up; exec cat']);
    assert.equal(code, 0, stderr);
  }
  await daemon.hyperctl(['create', '--name', 'third', 'busybox', 'true']);
});

/** Runs a script in a shell where `hyperctl` is ours; resolves with the lines that it prints. */
function inShell(shell: string, script: string): string[] {
  const directory = join(daemon.root, 'shell');
  mkdirSync(join(directory, 'sub'), { recursive: true });
  writeFileSync(join(directory, 'some file'), '');
  const { stdout, stderr, status } = spawnSync(shell, ['-c', script], {
    cwd: directory,
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${join(import.meta.dirname, '../bin')}:${process.env.PATH}`,
      ...{ HYPER_HOST: `unix://${daemon.socket}`, HOME: directory },
    },
  });
  assert.deepEqual([status, stderr], [0, ''], shell);
  return stdout.split('\n').filter((line) => line !== '');
}

const lines: readonly (readonly [string, readonly string[]])[] = [
  ['hyperctl unp', ['unpause']],
  ['hyperctl stop f', ['first']],
  ['hyperctl stop first sec', ['second']],
  ['hyperctl logs --fol', ['--follow']],
  [`hyperctl --host unix:///nonesuch stop `, []],
  ['hyperctl list --format js', ['json']],
  ['hyperctl rmi busybox:la', ['busybox:latest']],
  ['hyperctl list --pod=fi', ['--pod=first']],
];

test('bash completes commands, options and names, also behind colons and equals signs', () => {
  const calls = [...lines, ['hyperctl cp so', ['some file']] as const].map(
    ([line]) => `COMP_LINE=${JSON.stringify(line)}; COMP_POINT=\${#COMP_LINE}
      COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
      _hyperctl 2>/dev/null; printf '%s,' "\${COMPREPLY[@]}"; echo .`,
  );
  const found = inShell(
    'bash',
    `source <(hyperctl completion bash); complete -p hyperctl; ${calls.join('\n')}`,
  );
  const behind = (text: string): string => text.replace(/^.*[:=]/, '');
  assert.deepEqual(found, [
    'complete -F _hyperctl hyperctl',
    ...lines.map(([, expected]) => `${expected.map(behind).join(',')},.`),
    'some file,.',
  ]);
});

test('zsh completes commands, options and names', () => {
  const calls = lines.map(
    ([line]) => `line=${JSON.stringify(line)}; words=(\${(s: :)line}); [[ $line == *' ' ]] && words+=("")
      CURRENT=\${#words}; _hyperctl; echo .`,
  );
  const script = `
    compdef() { echo "compdef $*" }
    compadd() { : }
    _files() { print -n files, }
    source <(hyperctl completion zsh)
    _describe() { local e; for e in "\${(@P)2}"; do e=\${e//\\\\:/%}; print -rn -- "\${\${e%%:*}//\\%/:},"; done }
    ${calls.join('\n')}
    words=(hyperctl cp f); CURRENT=3; _hyperctl; echo .`;
  assert.deepEqual(inShell('zsh', script), [
    'compdef _hyperctl hyperctl',
    ...lines.map(([, expected]) => `${expected.map((text) => `${text},`).join('')}.`),
    'files,.',
  ]);
});

test('fish completes commands, options and names', () => {
  const calls = lines.map(([line]) => `complete -C ${JSON.stringify(line)} | string split -f1 \\t; echo .`);
  const found = inShell('fish', `hyperctl completion fish | source; ${calls.join('\n')}`);
  assert.deepEqual(
    found,
    lines.flatMap(([, expected]) => [...expected, '.']),
  );
});

test('completion of another shell is refused', async () => {
  const { code, stderr } = await daemon.hyperctl(['completion', 'tcsh']);
  assert.equal(code, 1);
  assert.match(stderr, /"tcsh": want bash, zsh, fish/);
});

test('mistyped commands and options are told what is near', async () => {
  for (const [args, message] of [
    [['lsit'], /unknown command "lsit"; did you mean "list"\?/],
    [['frobnicate'], /unknown command "frobnicate"; "hyperctl help"/],
    [['logs', '--folow', 'first'], /unknown option "--folow"; did you mean "--follow"\?/],
    [['--hots', 'x'], /unknown option "--hots"; did you mean "--host"\?/],
  ] as const) {
    const { code, stderr } = await daemon.hyperctl(args);
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
});

test('list and ps filter by status and label, and print JSON for programs', async () => {
  const stdout = async (...args: string[]): Promise<string> => {
    const result = await daemon.hyperctl(args);
    assert.equal(result.code, 0, result.stderr);
    return result.stdout;
  };
  assert.equal(await stdout('list', '-q', '--filter', 'status=pending'), 'third\n');
  assert.equal(await stdout('list', '-q', '-f', 'label=tier', '-f', 'status=running'), 'first\nsecond\n');
  assert.match(
    await stdout('list', '-f', 'label=tier=back'),
    /^POD ID +POD Name +VM name +Status\nsecond +second +vm-\w+ +running\n$/,
  );
  assert.match(
    await stdout('ps', '-f', 'status=pending'),
    /^Container ID +Name +POD ID +Status\n[0-9a-f]{64} +third +third +pending\n$/,
  );
  const [pod] = (await stdout('list', '--format', 'json', '-p', 'first'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    [pod.id, pod.status, pod.labels, pod.containers],
    ['first', 'running', { tier: 'front' }, ['first']],
  );
  const containers = (await stdout('ps', '--format', 'json')).trim().split('\n');
  assert.equal(containers.length, 3);
  assert.equal((await daemon.hyperctl(['list', '-f', 'colour=red'])).code, 1);
});

test('inspect prints one member of pods, containers and images, or says what there is', async () => {
  const one = async (...args: string[]): Promise<string> =>
    (await daemon.hyperctl(['inspect', ...args])).stdout;
  assert.equal(await one('-f', '.status.phase', 'first', 'third'), 'Running\nPending\n');
  assert.equal(await one('-f', '{{.spec.containers[0].name}}', 'first'), '/first\n');
  assert.match(await one('--format', '.Id', 'busybox'), /^sha256:[0-9a-f]{64}\n$/);
  const [id] = JSON.parse((await daemon.hyperctl(['inspect', 'first'])).stdout) as {
    spec: { containers: { containerID: string }[] };
  }[];
  const container = id?.spec.containers[0]?.containerID ?? '';
  assert.equal(await one('-f', '.podID', container), 'first\n');
  const wrong = await daemon.hyperctl(['inspect', '-f', '.status.phrase', 'first']);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /there are phase, /);
  assert.match(
    (await daemon.hyperctl(['inspect', 'nonesuch'])).stderr,
    /no pod, container or image is called "nonesuch"/,
  );
});

test('logs until a time end then, also where they are followed', async () => {
  assert.equal((await daemon.hyperctl(['logs', '--until', '1h', 'first'])).stdout, '');
  assert.equal((await daemon.hyperctl(['logs', '--since', '1h', '--until', '0s', 'first'])).stdout, 'up\n');
  const soon = String(Date.now() / 1000 + 2);
  const followed = await daemon.hyperctl(['logs', '-f', '--until', soon, 'first']);
  assert.deepEqual(
    [followed.code, followed.stdout],
    [0, 'up\n'],
    'it goes on running, and says nothing more',
  );
});

test('every command works with a daemon at an address, sessions as well', async () => {
  const remote = (args: readonly string[], input = ''): ReturnType<TestDaemon['hyperctl']> =>
    daemon.hyperctl(['-H', tcp, ...args], { input, env: { HYPER_HOST: 'unix:///nonesuch' } });
  const run = await remote(['run', '--rm', 'busybox', 'sh', '-c', 'cat; echo err >&2; exit 3'], 'typed\n');
  assert.deepEqual(run, { code: 3, stdout: 'typed\n', stderr: 'err\n' });
  const exec = await remote(['exec', 'first', 'sh', '-c', 'wc -c; exit 4'], 'x'.repeat(100_000));
  assert.deepEqual([exec.code, exec.stdout.trim()], [4, '100000']);
  assert.equal((await remote(['exec', '-m', 'first', '/bin/true'])).code !== null, true);
  assert.equal((await remote(['logs', 'first'])).stdout, 'up\n');
  assert.equal((await remote(['list', '-q', '-f', 'status=pending'])).stdout, 'third\n');
  assert.equal((await remote(['cp', 'first:/etc/hostname', '-'])).code, 0);
  assert.match((await remote(['top', 'first'])).stdout, /cat\n/);
  assert.match((await remote(['stats', '--no-stream', 'first'])).stdout, /first +\d/);
  assert.match(
    (await remote(['events', '--since', '1h', '--until', '0s', '-f', 'pod=third'])).stdout,
    /pod create third/,
  );
  const attached = await remote(['attach', 'second'], 'over tcp\n');
  assert.deepEqual([attached.code, attached.stdout], [0, 'over tcp\n']);
  assert.equal((await remote(['wait', 'second'])).stdout, '0\n');
  assert.equal((await remote(['rm', 'second'])).code, 0);
  const { stderr, status } = spawnSync(hyperctl, ['-H', 'tcp://127.0.0.1:1', 'list'], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /tcp:\/\/127.0.0.1:1.*is hyperd running/);
});
