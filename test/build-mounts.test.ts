import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { eventually } from './support/daemon.ts';
import { sharedDaemon, sharedDirectory } from './support/shared.ts';

const daemon = sharedDaemon();
const scratch = sharedDirectory('mounts-');

/** A context with a Dockerfile of these lines and, as `root`, the host's programs with what they need to run. */
function contextOf(lines: readonly string[], programs: readonly string[] = []): string {
  const directory = mkdtempSync(join(scratch, 'context-'));
  writeFileSync(join(directory, 'Dockerfile'), `${lines.join('\n')}\n`);
  for (const program of programs) {
    const said = execFileSync('ldd', [program], { encoding: 'utf8' });
    for (const path of [program, ...(said.match(/(?<=\s)\/\S+/g) ?? [])]) {
      mkdirSync(dirname(join(directory, 'root', path)), { recursive: true });
      copyFileSync(path, join(directory, 'root', path));
    }
  }
  return directory;
}

async function build(
  context: string,
  ...args: string[]
): Promise<{ readonly code: number | null; readonly said: string }> {
  const { code, stdout, stderr } = await daemon.hyperctl(['build', ...args, context]);
  return { code, said: stdout + stderr };
}

function sshKey(name: string): { readonly path: string; readonly fingerprint: string } {
  const path = join(scratch, name);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', path]);
  const [, fingerprint = ''] = execFileSync('ssh-keygen', ['-lf', path], { encoding: 'utf8' }).split(' ');
  return { path, fingerprint };
}

test("a step uses the keys of the client's ssh agent, and can neither change it nor keep it", async () => {
  const key = sshKey('one');
  const socket = join(scratch, 'agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  try {
    await eventually('the agent listens', () => existsSync(socket));
    execFileSync('ssh-add', ['-q', key.path], {
      env: { ...process.env, SSH_AUTH_SOCK: socket },
      stdio: 'pipe',
    });
    const context = contextOf(
      [
        'FROM busybox',
        'COPY root /',
        'COPY key.pub /key.pub',
        'RUN --mount=type=ssh,mode=0640,uid=7,gid=8 --mount=type=ssh,id=two,target=/agents/two stat -c %a:%u:%g:%n $SSH_AUTH_SOCK \\',
        '  && ssh-add -l && ssh-add -T /key.pub && ! ssh-add -D && SSH_AUTH_SOCK=/agents/two ssh-add -l \\',
        '  && for i in 1 2 3 4; do ssh-add -T /key.pub & done; wait',
        'RUN --mount=type=ssh,id=absent test ! -e $SSH_AUTH_SOCK && find / -xdev -name "*agent*" -o -xdev -name buildkit',
      ],
      ['/usr/bin/ssh-add'],
    );
    copyFileSync(`${key.path}.pub`, join(context, 'key.pub'));
    const other = sshKey('two');
    const { code, said } = await build(context, '--ssh', `default=${socket}`, '--ssh', `two=${other.path}`);
    assert.equal(code, 0, said);
    assert.match(said, /\n640:7:8:\/run\/buildkit\/ssh_agent\.0\n/);
    for (const { fingerprint } of [key, other]) assert.ok(said.includes(fingerprint), said);
    assert.match(said, /Failed to remove all identities/);
    assert.match(said, /Step 5\/5 .*\n ---> \w+\n/s);
    assert.ok(!/Step 5\/5[^\n]*\n\//.test(said), said);
  } finally {
    agent.kill();
  }
});

test('a step that requires an ssh agent says so where the client forwards none', async () => {
  const context = contextOf(['FROM busybox', 'RUN --mount=type=ssh,required true']);
  const { code, said } = await build(context);
  assert.equal(code, 1);
  assert.match(said, /no SSH key "default" forwarded from the client: build with --ssh default/);
});

test('a secret may be as long as a file of keys', async () => {
  const secret = join(scratch, 'secret');
  writeFileSync(secret, randomBytes(150_000).toString('hex'));
  const context = contextOf([
    'FROM busybox',
    'RUN --mount=type=secret,id=long sha256sum < /run/secrets/long',
  ]);
  const { code, said } = await build(context, '--secret', `id=long,src=${secret}`);
  assert.equal(code, 0, said);
  const [digest = ''] = execFileSync('sha256sum', { input: readFileSync(secret), encoding: 'utf8' }).split(
    ' ',
  );
  assert.ok(said.includes(digest), said);
});

test('a cache begins with what a stage has, stays, and is another one for another owner', async () => {
  const mount = '--mount=type=cache,target=/c,from=start,source=/s';
  const context = contextOf([
    ...[
      'FROM busybox AS start',
      'RUN mkdir -m 750 /s && echo first > /s/f && chown 5:6 /s',
      'FROM busybox',
      'ARG N',
    ],
    `RUN ${mount} stat -c %a:%u:%g /c && cat /c/* && echo $N > /c/$N`,
    `RUN ${mount} ls /c`,
    `RUN ${mount},uid=7,gid=8,sharing=locked stat -c own:%u:%g /c && ls /c`,
    'RUN --mount=type=cache,target=/p,sharing=private,mode=0711,uid=9 stat -c %a:%u:%g /p',
  ]);
  const first = await build(context, '--build-arg', 'N=one');
  assert.equal(first.code, 0, first.said);
  assert.match(first.said, /\n750:5:6\nfirst\n -/);
  assert.match(first.said, /\nf\none\n -/);
  assert.match(first.said, /\nown:7:8\nf\n -/);
  assert.match(first.said, /\n711:9:0\n -/);
  const second = await build(context, '--build-arg', 'N=two');
  assert.match(second.said, /\nfirst\none\n -/);
  const wrong = contextOf(['FROM busybox', 'RUN --mount=type=cache,target=/c,sharing=often true']);
  assert.match((await build(wrong)).said, /sharing "often" is none of shared, private, locked/);
});
